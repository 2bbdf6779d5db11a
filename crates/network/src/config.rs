//! What a node's network is opened with.
use ipnet::Ipv4Net;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

pub struct Config {
    pub node_name: String,
    /// The agent's folder: the network's state and lock live here, and it is what tells this node's namespace from others' on the machine.
    pub data_dir: PathBuf,
    /// The pod range where it is known beforehand; else it comes from `Node.spec.podCIDR`, or from this folder after a restart.
    pub pod_cidr: Option<Ipv4Net>,
    pub service_cidr: Ipv4Net,
    pub mode: Mode,
    /// `cluster.local`.
    pub cluster_domain: String,
    pub isolation: Isolation,
    pub ingress: Option<IngressConfig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A namespace where the kernel allows one, else loopback addresses, with a warning.
    Auto,
    /// A namespace or an error.
    Namespace,
    /// Pod addresses out of 127.64.0.0/10: no privilege needed, cluster IPs cannot be bound.
    Loopback,
}

/// Which pods share a routing table, as they share a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// A domain is a namespace.
    Namespace,
    /// One domain for the whole node, of this name.
    Node(String),
}

impl Isolation {
    pub fn domain<'a>(&'a self, namespace: &'a str) -> &'a str {
        match self {
            Self::Namespace => namespace,
            Self::Node(name) => name,
        }
    }
}

/// Where the Ingress answers, in the host's namespace.
#[derive(Debug, Clone)]
pub struct IngressConfig {
    pub http: Option<SocketAddr>,
    pub https: Option<SocketAddr>,
    /// What `status.loadBalancer.ingress` says.
    pub address: IpAddr,
}
