//! What can go wrong with a node's network.
use std::{io, net::SocketAddr, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel or the disk said no.
    #[error("{what}: {source}")]
    Machine { what: String, source: io::Error },
    /// Another process holds the network of this data folder.
    #[error("another knarr uses the network of {}", .0.display())]
    InUse(PathBuf),
    /// The Ingress or a Service cannot have its port.
    #[error("{what} cannot listen on {address}: {source}")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    /// The certificate that answers where no other does could not be made.
    #[error("cannot make the default certificate: {0}")]
    Certificate(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Says what was tried when the kernel said no.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Machine { what: what.into(), source: source.into() })
    }
}
