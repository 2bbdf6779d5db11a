//! A container with every reference resolved, and what is seen of it.
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// Names one start of one container: `<pod uid>/<container name>/<attempt>`. A restart is another container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId(pub String);

impl ContainerId {
    pub fn new(pod_uid: &str, name: &str, attempt: u32) -> Self {
        Self(format!("{pod_uid}/{name}/{attempt}"))
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image on this node's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:...` of the Wasm itself.
    pub digest: String,
    /// The Wasm file.
    pub path: PathBuf,
}

/// A container that shall run: no Secret, ConfigMap or field path is left to look up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub pod_uid: String,
    /// `namespace/name` of the pod, for logs and messages.
    pub pod: String,
    /// The isolation domain: the pod's namespace, by default. Guests of two domains never share a process.
    pub domain: String,
    pub name: String,
    /// Counts starts, from 0.
    pub attempt: u32,
    pub image: Image,
    /// `command` and `args` joined; empty: the component decides what it is (a handler is served, a command run).
    pub args: Vec<String>,
    /// The container gave `command` or `args`: a component that could do both is run, not served.
    pub run_as_command: bool,
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    pub limits: Limits,
    /// The sockets of the pod that this container serves HTTP on, bound by `PodNetwork`. Several containers never share one.
    pub listen: Vec<Listen>,
    /// Where stdout and stderr go, as CRI log lines. The folder exists.
    pub log_path: PathBuf,
    /// Keep stdin open and empty (`stdin: true`), or closed.
    pub stdin: bool,
}

impl Container {
    pub fn id(&self) -> ContainerId {
        ContainerId::new(&self.pod_uid, &self.name, self.attempt)
    }

    /// This container in that state.
    pub fn observed(&self, state: State) -> Observed {
        Observed { id: self.id(), pod_uid: self.pod_uid.clone(), name: self.name.clone(), attempt: self.attempt, state }
    }

    /// The namespace of its pod.
    pub fn namespace(&self) -> &str {
        self.pod.split_once('/').map_or(self.pod.as_str(), |(namespace, _)| namespace)
    }
}

/// One address that the pod listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listen {
    pub address: SocketAddr,
}

/// A folder or file of the host that the guest sees at `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Below the isolation domain's root folder.
    pub source: PathBuf,
    /// An absolute path in the guest's view.
    pub target: String,
    pub read_only: bool,
}

/// `cpu_millis`: thousandths of a core, 0 for no limit. `memory_bytes`: all linear memories, tables and host buffers together, 0 for the node's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu_millis: u32,
    pub memory_bytes: u64,
}

/// What became of a container. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Serving, or running its command.
    Running { started_at_ms: u64 },
    /// Ended. `reason` is `Completed`, `Error`, `OOMKilled`, ...; `message` holds a trap's backtrace.
    Exited { code: i32, reason: String, message: String, started_at_ms: u64, finished_at_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub id: ContainerId,
    pub pod_uid: String,
    pub name: String,
    pub attempt: u32,
    pub state: State,
}
