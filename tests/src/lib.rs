//! What black-box tests share: starting the binary, waiting for what it does, asking it as its users would.
mod guests;
pub mod load;
mod processes;
mod started;
mod workloads;

pub use guests::{Guest, hello, text};
pub use processes::{Process, children, runners};
pub use started::{Node, Started, binary, client, eventually, free_port, holds, http_get};
pub use workloads::{address, deployment, ended, ingress, is_ready, once, restarts, service, waiting};
