//! What the agent of a node is told when it starts.
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

#[derive(Debug)]
pub struct Config {
    pub node_name: String,
    /// `<data>/agent`: volumes, logs.
    pub data_dir: PathBuf,
    /// Where other nodes and the API server reach this one.
    pub node_address: IpAddr,
    /// Beside those that every node has.
    pub labels: BTreeMap<String, String>,
    pub kubelet: Kubelet,
}

/// The server that hands out logs and metrics.
#[derive(Debug)]
pub struct Kubelet {
    /// Bound by the caller, who knows which ports are free; its port is told in the Node's status.
    pub listener: std::net::TcpListener,
    /// A certificate and its key for serving, as PEM. The API server does not verify it.
    pub certificate_pem: String,
    pub key_pem: String,
    /// Who may ask shows a certificate signed by this CA.
    pub client_ca_pem: String,
}
