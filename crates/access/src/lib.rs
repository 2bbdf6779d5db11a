//! Who asks, and may they: the cluster's certificates, tokens, and authorisation.
mod authenticate;
mod authorize;
mod error;
mod pki;
mod trust;

pub use authenticate::{anonymous, by_bearer, by_certificate};
pub use authorize::{Asked, authorize};
pub use error::Error;
pub use pki::{ClientCert, Pki};
pub use trust::unverified;
