//! What runs containers on one node.
use crate::{Container, ContainerId, Image, Observed, Pending, Routes, protocol::Listener};
use serde::{Deserialize, Serialize};
use std::{os::fd::OwnedFd, path::Path, sync::Arc};

/// A variant exists where the agent acts on it: each becomes a `waiting.reason` of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    #[error("no such container: {0}")]
    NoSuchContainer(ContainerId),
    /// Neither a component nor a core module of WASI.
    #[error("not a WebAssembly command or HTTP component: {0}")]
    NotRunnable(String),
    #[error("{0}")]
    CompileError(String),
    #[error("compiling took longer than {limit_s} s")]
    CompileTimeout { limit_s: u64 },
    /// The component asks for something that nobody here gives. Names each missing import.
    #[error("missing import: {0}")]
    ImportUnsatisfied(String),
    #[error("{0}")]
    Unavailable(String),
}

/// What a container uses now. `memory_bytes`: its guests' memories; `cpu_ns`: processor time spent in its guests, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_ns: u64,
    pub memory_bytes: u64,
    pub requests: u64,
}

/// Runs containers. It obeys and reports; every reference in what it is given is already resolved.
pub trait Runtime: Send + Sync {
    /// Makes an image ready to start: for Wasm, compiles it into the code cache and checks its imports. Does nothing when that is done already.
    fn prepare<'a>(&'a self, image: &'a Image) -> Pending<'a, Result<(), Error>>;
    /// Starts a container. `sockets` are the bound listeners, one for each of `container.listen`, in that order.
    fn start(&self, container: Container, sockets: Vec<OwnedFd>) -> Pending<'_, Result<ContainerId, Error>>;
    /// Stops accepting, lets requests in flight end, tells a command to end; after `grace_ms` ends it by force. Returns when it has ended.
    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> Pending<'a, Result<(), Error>>;
    /// Forgets a container that has ended.
    fn remove<'a>(&'a self, id: &'a ContainerId) -> Pending<'a, Result<(), Error>>;
    /// Gives an isolation domain its part of the routing table.
    fn route(&self, domain: &str, routes: Arc<Routes>);
    /// Everything there is, running or not. The truth after a restart.
    fn observe(&self) -> Pending<'_, Result<Vec<Observed>, Error>>;
    /// What each running container uses.
    fn usage(&self) -> Pending<'_, Result<Vec<(ContainerId, Usage)>, Error>>;
    /// Writes on into a new file at the container's log path: the old one was moved away.
    fn reopen_log<'a>(&'a self, id: &'a ContainerId, log_path: &'a Path) -> Pending<'a, Result<(), Error>>;
    /// Duplicates of the listeners that containers hold which outlived the agent, so that the pod network has them again.
    fn listeners(&self) -> Pending<'_, Result<Vec<(Listener, OwnedFd)>, Error>>;
    /// Resolves when something may have changed since the last call. One caller at a time.
    fn changed(&self) -> Pending<'_, ()>;
}
