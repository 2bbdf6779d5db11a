//! A Pod as the agent reads it: decoded from the shelf's bytes for one pass of its worker and dropped afterwards, so that ten thousand
//! resident pods cost the agent no second copy of their specs.
mod container;
mod volume;

pub use container::{Container, EnvFrom, EnvVar, KeyRef, PortRef, Probe};
pub use volume::{ConfigSource, DownwardFile, DownwardSource, FieldRef, KeyToPath, Projection, ResourceFieldRef, Volume};

use jiff::Timestamp;
use knarr_machinery::Meta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub spec: Spec,
    /// As it stands in the API: what is to be patched is compared with it.
    pub status: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub node_name: Box<str>,
    pub restart_policy: RestartPolicy,
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub service_account_name: Box<str>,
    pub enable_service_links: Option<bool>,
    pub hostname: Option<Box<str>>,
    pub active_deadline_seconds: Option<i64>,
    pub termination_grace_period_seconds: Option<i64>,
    pub readiness_gates: Vec<ReadinessGate>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    pub condition_type: Box<str>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// What a status says that the agent needs after a restart.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Recorded {
    pub phase: Box<str>,
    pub reason: Box<str>,
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    pub start_time: Option<Timestamp>,
    pub init_container_statuses: Vec<RecordedContainer>,
    pub container_statuses: Vec<RecordedContainer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordedContainer {
    pub name: Box<str>,
    pub image: Box<str>,
    #[serde(rename = "imageID")]
    pub image_id: Box<str>,
    pub ready: bool,
    pub started: Option<bool>,
    pub restart_count: u32,
    pub state: RecordedState,
    pub last_state: RecordedState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RecordedState {
    pub waiting: Option<Value>,
    pub running: Option<Value>,
    pub terminated: Option<Ended>,
}

/// How a container ended, as its status says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ended {
    pub exit_code: i32,
    pub reason: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(rename = "containerID", skip_serializing_if = "str::is_empty")]
    pub container_id: Box<str>,
}

impl Pod {
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    pub fn recorded(&self) -> Recorded {
        Recorded::deserialize(&self.status).unwrap_or_default()
    }

    /// All containers in the order in which they start: init containers first. A container is named by its index in this order.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.init_containers.iter().chain(&self.spec.containers)
    }

    pub fn container(&self, index: usize) -> Option<&Container> {
        self.containers().nth(index)
    }

    pub fn is_init(&self, index: usize) -> bool {
        index < self.spec.init_containers.len()
    }

    /// `kubectl` and events say it so: `name_namespace(uid)`.
    pub fn full_name(&self) -> String {
        format!("{}_{}({})", self.metadata.name, self.metadata.namespace, self.metadata.uid)
    }

    pub fn hostname(&self) -> &str {
        self.spec.hostname.as_deref().unwrap_or(&self.metadata.name)
    }

    /// The restart policy that holds for one container: a sidecar restarts always, an init container of an `Always` pod on failure.
    pub fn policy(&self, index: usize) -> RestartPolicy {
        let init = self.is_init(index);
        match self.container(index) {
            Some(container) if init && container.is_sidecar() => RestartPolicy::Always,
            _ if init && self.spec.restart_policy == RestartPolicy::Always => RestartPolicy::OnFailure,
            _ => self.spec.restart_policy,
        }
    }
}

impl RestartPolicy {
    pub fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// Resource quantities by name, as written.
pub type Quantities = BTreeMap<Box<str>, Box<str>>;
