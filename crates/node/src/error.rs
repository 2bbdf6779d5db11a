//! Why an agent cannot start.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the kubelet's TLS configuration: {0}")]
    Tls(String),
    #[error("the kubelet's listener: {0}")]
    Listener(std::io::Error),
}
