//! One file per control loop.
mod accounts;
mod conditions;
mod deployments;
mod endpoints;
mod error;
mod garbage;
mod names;
mod namespaces;
mod nodes;
mod ownership;
mod replica_sets;
#[cfg(test)]
mod said;
mod spawn;

pub use error::Error;
pub use names::{NAMES, Selection};
pub use nodes::ipam::NodeIpam;
pub use spawn::{Settings, spawn};
