//! What the runtime is told once, when it is opened.
pub use knarr_runtime::Connect;
use knarr_runtime::Pending;
use std::{io, net::SocketAddr, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

/// The longest that compiling one image may take. JavaScript and Python guests take some 10 s of processor time.
const COMPILE_LIMIT: Duration = Duration::from_secs(30);
/// How long a runner without containers stays: a rollout soon needs it again, and an idle tenant shall cost nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Above every user of the host and of user namespaces (which distributions hand out from 100000 to some 10 million).
const UID_BASE: u32 = 1_700_000_000;

/// Who shares a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// One runner for each domain (the pods' namespace).
    Namespace,
    /// One runner for everything. Only where all tenants trust each other.
    Node,
}

/// Connects from the agent's own network.
pub struct HostConnect;

impl Connect for HostConnect {
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<OwnedFd>> {
        Box::pin(async move { Ok(tokio::net::TcpStream::connect(address).await?.into_std()?.into()) })
    }
}

#[derive(Clone)]
pub struct Config {
    /// `<data>/agent`. Below it: `code/` (compiled code), `run/` (control sockets), `domains/` (what guests may see), `seal.key`.
    pub data_dir: PathBuf,
    /// The knarr binary, which is started again as `runner` and `compiler`.
    pub program: PathBuf,
    pub isolation: Isolation,
    /// The first of the users that runners run as, when the agent is root.
    pub uid_base: u32,
    pub compile_limit: Duration,
    pub idle_limit: Duration,
    pub connect: Arc<dyn Connect>,
}

impl Config {
    /// With the usual bounds, one runner for each domain, and connections from the agent's own network.
    pub fn new(data_dir: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            program: program.into(),
            isolation: Isolation::Namespace,
            uid_base: UID_BASE,
            compile_limit: COMPILE_LIMIT,
            idle_limit: IDLE_LIMIT,
            connect: Arc::new(HostConnect),
        }
    }
}
