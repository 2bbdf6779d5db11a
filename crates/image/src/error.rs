//! What goes wrong with images.
use std::path::PathBuf;

/// Why a pod's image cannot be had. Each variant is a `waiting.reason` of its own.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PullError {
    #[error("couldn't parse image name {name:?}: {why}")]
    InvalidName { name: String, why: String },
    /// The policy is Never and the image is not here.
    #[error("Container image {name:?} is not present with pull policy of Never")]
    NeverPulled { name: String },
    /// The registry, or the way to it, said no.
    #[error("failed to pull image {name:?}: {why}")]
    Registry { name: String, why: String },
    /// The image is there and holds nothing that runs here.
    #[error("image {name:?} is not WebAssembly: {found}")]
    NotWasm { name: String, found: String },
    /// Larger than this node takes.
    #[error("image {name:?} has {size_bytes} bytes; at most {max_bytes} are taken")]
    TooLarge { name: String, size_bytes: u64, max_bytes: u64 },
    #[error("failed to store image {name:?}: {why}")]
    Storage { name: String, why: String },
}

impl PullError {
    /// The `waiting.reason` that kubectl shows.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidImageName",
            Self::NeverPulled { .. } => "ErrImageNeverPull",
            Self::Registry { .. } | Self::TooLarge { .. } | Self::Storage { .. } => "ErrImagePull",
            Self::NotWasm { .. } => "ImageNotWasm",
        }
    }
}

/// What goes wrong with files and pushes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    NotWasm(String),
    #[error("{reference}: {why}")]
    Push { reference: String, why: String },
    #[error(transparent)]
    Pull(#[from] PullError),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
