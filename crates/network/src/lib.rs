//! All sockets of a node: the pods' network namespace and its addresses, the service proxy, node ports, the Ingress, the ways to other nodes, and the
//! routing tables that runners are given.
mod addresses;
mod backends;
mod capabilities;
mod changes;
mod cidr;
mod config;
mod error;
mod ingress;
mod joint;
mod namespace;
mod netlink;
mod network;
mod peers;
mod proxy;
mod routing;
mod run;
mod sockets;
mod state;

pub use capabilities::{Capability, capabilities};
pub use cidr::{cluster_cidrs, free_cidr, loopback_cluster_cidr};
pub use config::{Config, IngressConfig, Isolation, Mode};
pub use error::{Error, Result};
pub use network::{Network, host_routes};
