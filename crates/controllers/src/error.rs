//! What can be wrong before a controller runs; what goes wrong later is tried again.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is not in the list of known controllers")]
    UnknownController(String),
}
