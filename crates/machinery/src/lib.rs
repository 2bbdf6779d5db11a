//! What is true of every Kubernetes object, whatever its kind. Pure: no I/O, no clock, no randomness; a schema is an argument.
mod field_error;
pub mod json;
mod key;
mod label_selector;
mod meta;
pub mod names;
pub mod patch;
pub mod protobuf;
mod quantity;
pub mod schema;
pub mod selector;
mod status;
pub mod table;

pub use field_error::{FieldError, Problem};
pub use key::{GroupResource, Key};
pub use label_selector::{Expression, LabelSelector};
pub use meta::{Meta, Owner};
pub use quantity::{Form, Quantity, QuantityError};
pub use status::{Cause, Details, Reason, Status};

/// A boxed future, as object-safe seams return it.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The number of a write. The store hands them out in order, one count for all kinds, and never one twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
