//! Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store")]
    Store(#[from] knarr_store::Error),
    #[error("the certificates")]
    Access(#[from] knarr_access::Error),
    /// What every cluster has could not be made.
    #[error("making {what}")]
    Bootstrap { what: String, source: knarr_machinery::Status },
    #[error("the listening socket")]
    Listen(#[source] std::io::Error),
}
