//! Who makes the connections that guests ask for.
use crate::Pending;
use std::{io, net::SocketAddr, os::fd::OwnedFd};

/// Makes the connections of guests: runners have no network. Whoever asks has checked the address against the routing table
/// (`Routes::allows`); this only knows where the socket has to be made.
pub trait Connect: Send + Sync {
    /// A connected, non-blocking TCP socket. `ConnectionRefused`, `TimedOut` and others as the kernel says them.
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<OwnedFd>>;
}
