//! Who gives pods their addresses and binds their sockets.
use crate::Pending;
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("no pod address is left in {0}")]
    Exhausted(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{0}")]
    Unavailable(String),
}

/// The pod network of one node: addresses out of its pod CIDR, sockets bound where those addresses live.
pub trait PodNetwork: Send + Sync {
    /// The address of a pod: a new one, or the one it has. A pod known from before a restart names the address it had.
    fn claim(&self, pod_uid: &str, had: Option<IpAddr>) -> Result<IpAddr, NetworkError>;
    /// Gives the address back and closes what is kept of the pod's listeners.
    fn release(&self, pod_uid: &str);
    /// A listening TCP socket of a pod. Asked again for the same address it gives a duplicate of the same socket, so that a listener outlives a container.
    fn listen(&self, pod_uid: &str, address: SocketAddr) -> Result<OwnedFd, NetworkError>;
    /// Connects from the node to a pod, for probes. Milliseconds.
    fn connect(&self, address: SocketAddr, timeout_ms: u64) -> Pending<'_, std::io::Result<tokio::net::TcpStream>>;
}
