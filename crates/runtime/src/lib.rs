//! The seam between the node agent, which decides, and what runs containers and binds sockets, which obeys and reports.
//! Plain data and small traits; nothing here knows a Kubernetes object.
mod connect;
pub mod connection;
mod container;
pub mod contract;
mod fake;
mod pod_network;
pub mod protocol;
mod routes;
mod runtime;
pub mod seal;

pub use connect::Connect;
pub use container::{Container, ContainerId, Image, Limits, Listen, Mount, Observed, State};
pub use fake::{FakeRuntime, Script};
pub use pod_network::{NetworkError, PodNetwork};
pub use protocol::Listener;
pub use routes::{AddressRange, Endpoint, PortRoute, Routes, ServiceRoute, Unroutable};
pub use runtime::{Error, Runtime, Usage};

/// A boxed future, as object-safe seams return it.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
