//! OCI artifacts that hold Wasm: pull, push, content store, embedded registry. Knows bytes and manifests, no Kubernetes object.
mod blobs;
mod description;
mod error;
mod images;
mod layout;
pub mod registry;
mod remote;
pub mod text;

pub use description::{Description, Form, World, describe};
pub use error::{Error, PullError};
pub use images::{Images, Named, PullPolicy, Pulled};
pub use remote::{fetch, push};
