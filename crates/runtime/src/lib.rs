//! The seam between the node agent, which decides, and what runs containers and binds sockets, which obeys and reports.
//! Plain data and small traits; nothing here knows a Kubernetes object.
mod connect;
mod container;
mod pod_network;
mod routes;
mod runtime;

pub use connect::Connect;
pub use container::{Container, ContainerId, Image, Limits, Listen, Mount, Observed, State};
pub use pod_network::{NetworkError, PodNetwork};
pub use routes::{Endpoint, PortRoute, Routes, ServiceRoute};
pub use runtime::{Error, Runtime, Usage};

/// A boxed future, as object-safe seams return it.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
