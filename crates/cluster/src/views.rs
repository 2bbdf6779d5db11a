//! The views: one struct a kind, with the fields that loops read and no others. Anybody may add a field; it costs its size times the
//! number of objects. What is kept whole, as JSON text, is what a loop passes on unread, like a pod template.
mod config;
mod network;
mod node;
mod pod;
mod workload;

pub use config::{ConfigMap, Lease, LeaseSpec, Namespace, NamespaceSpec, NamespaceStatus, Secret, ServiceAccount};
pub use network::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, Endpoints, HttpPath, HttpRule, Ingress, IngressAddress, IngressBackend,
    IngressLoadBalancer, IngressPort, IngressRule, IngressService, IngressSpec, IngressStatus, IngressTls, Service, ServicePort,
    ServiceSpec, TargetRef,
};
pub use node::{Address, Daemon, DaemonEndpoints, Node, NodeImage, NodeSpec, NodeStatus, Taint};
pub use pod::{
    Container, ContainerPort, ContainerState, ContainerStatus, Pod, PodIp, PodSpec, PodStatus, Resources, Terminated, Toleration, Waiting,
};
pub use workload::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, RollingUpdate, Strategy};

use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Short strings by name: labels, capacities.
pub type Map = BTreeMap<Box<str>, Box<str>>;

/// One condition of any kind's status.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    pub reason: Box<str>,
    pub message: Box<str>,
    pub last_transition_time: Option<Timestamp>,
    pub last_heartbeat_time: Option<Timestamp>,
    /// Of Deployments only: when it last got on.
    pub last_update_time: Option<Timestamp>,
}

impl Condition {
    /// The status of the condition of one type in a list: `True`, `False`, `Unknown`, or nothing where it is not there.
    pub fn status_of<'a>(conditions: &'a [Self], kind: &str) -> Option<&'a str> {
        conditions.iter().find(|condition| *condition.kind == *kind).map(|condition| &*condition.status)
    }
}

/// A port by number or by the name that a container gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    Int(i64),
    String(Box<str>),
}

/// Real servers write `null` for empty lists and maps that are not optional.
fn null_as_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
