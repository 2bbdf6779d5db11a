//! What goes wrong in a runner or compiler.

/// A variant exists where a caller acts on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Arguments(String),
    #[error("cannot give up rights: {what}: {source}")]
    Sandbox { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the engine cannot be set up")]
    Engine(#[source] wasmtime::Error),
    #[error("the code in the cache was not made by this node's compiler")]
    Seal,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// For the agent, as it is.
    #[error(transparent)]
    Refused(#[from] knarr_runtime::Error),
    /// A response that ended before its body did.
    #[error("the guest ended before its response")]
    Truncated,
}

impl Error {
    pub(crate) fn sandbox<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Sandbox { what, source: source.into() }
    }

    /// What the agent is told.
    pub(crate) fn answer(self) -> knarr_runtime::Error {
        match self {
            Self::Refused(error) => error,
            Self::Engine(error) => knarr_runtime::Error::Unavailable(format!("{error:#}")),
            other => knarr_runtime::Error::Unavailable(other.to_string()),
        }
    }
}
