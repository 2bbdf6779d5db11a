//! A node as loops see it.
use super::{Condition, Map};
use crate::view::view;
use jiff::Timestamp;
use knarr_machinery::Meta;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Arc<Meta>,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}
view!(Node, "", "nodes");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    pub taints: Box<[Taint]>,
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<Box<str>>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Box<[Box<str>]>,
    #[serde(rename = "providerID")]
    pub provider_id: Option<Box<str>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: Box<str>,
    pub value: Box<str>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Box<str>,
    pub time_added: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Quantities by resource name, as the object writes them.
    pub capacity: Map,
    pub allocatable: Map,
    pub conditions: Box<[Condition]>,
    pub addresses: Box<[Address]>,
    pub daemon_endpoints: DaemonEndpoints,
    pub images: Box<[NodeImage]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `InternalIP`, `ExternalIP`, `Hostname`, ...
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub address: Box<str>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonEndpoints {
    pub kubelet_endpoint: Daemon,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Daemon {
    #[serde(rename = "Port")]
    pub port: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeImage {
    pub names: Box<[Box<str>]>,
    pub size_bytes: i64,
}

impl Node {
    pub fn is_ready(&self) -> bool {
        Condition::status_of(&self.status.conditions, "Ready") == Some("True")
    }

    /// The first address of a type.
    pub fn address(&self, kind: &str) -> Option<&str> {
        self.status.addresses.iter().find(|address| *address.kind == *kind).map(|address| &*address.address)
    }
}
