//! What can go wrong with the cluster's own certificates.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("making a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    #[error("{} holds no valid {what}; restore it, or remove the folder to start a new cluster", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    /// X.509 has room for more, the library that makes ours has not.
    #[error("a client certificate names at most one group, not {0}")]
    Groups(usize),
}
