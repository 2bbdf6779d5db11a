//! Who makes the connections that guests ask for.
use crate::Pending;
use std::{io, net::SocketAddr, os::fd::OwnedFd};

/// The second of the two checks on a guest's way out: the runner obeys its routing table, and whoever connects for it checks again, so that a
/// broken runner can bypass nothing.
pub trait Connect: Send + Sync {
    /// A connected TCP socket for a pod of `domain`, made where pods' sockets live, with the pod's address as its source.
    /// `PermissionDenied`: pods of that domain may not go there. `ConnectionRefused`, `TimedOut` and others as the kernel says them.
    fn connect_for<'a>(&'a self, domain: &'a str, pod_uid: &'a str, to: SocketAddr, timeout_ms: u64) -> Pending<'a, io::Result<OwnedFd>>;
}
