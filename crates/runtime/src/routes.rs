//! The routing table: whom the pods of one isolation domain may call. Compiled by `network`, obeyed by runtimes. Plain data, replaced whole.
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// Grows with every change, so that an older table never replaces a newer one.
    pub version: u64,
    /// The DNS domain of the cluster, `cluster.local`.
    pub cluster_domain: String,
    pub services: Vec<ServiceRoute>,
}

/// A Service: found by name (`web`, `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`) or by its cluster IP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceRoute {
    pub namespace: String,
    pub name: String,
    /// None: headless.
    pub cluster_ip: Option<IpAddr>,
    pub ports: Vec<PortRoute>,
}

/// One port of a Service and who answers on it: ready endpoints only. None ready: connection refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortRoute {
    pub port: u16,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Endpoint {
    /// A pod of the same runner: called without a socket, by the address it listens on.
    Here { pod_uid: String, address: SocketAddr },
    /// A pod of another domain or node: called over its address.
    Address(SocketAddr),
}
