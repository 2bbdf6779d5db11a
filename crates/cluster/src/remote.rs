//! The cluster seen from another process: the same front door and a shelf of the same type, over HTTP. It asks nothing that a real
//! Kubernetes API server does not answer, so that an agent can join any cluster.
mod access;
mod backoff;
mod door;
mod feed;
mod list;
mod pinned;
mod request;
mod singles;
mod stream;

pub use access::Access;
pub use door::Remote;
pub use feed::feed;
pub use pinned::{JoinToken, pinned_ca};
pub use request::{Part, Source};
pub use singles::Singles;

/// Why another process cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is not a server's address: https://host:port")]
    Address(String),
    #[error("a join token looks like knarr1.<64 hexadecimal digits>.<secret>")]
    Token,
    #[error("cannot reach {address}")]
    Unreachable { address: String, source: std::io::Error },
    /// Somebody else answers at this address, or the token is for another cluster.
    #[error("the server at {address} does not show the certificate authority that the token names")]
    OtherCluster { address: String },
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no client can be made of this access")]
    Client(#[source] Box<kube::Error>),
}
