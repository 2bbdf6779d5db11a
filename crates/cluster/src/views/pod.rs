//! A pod as loops see it. The node agent reads the containers it runs from the entry's bytes, once for each pod it owns.
use super::{Condition, Map};
use crate::view::view;
use jiff::Timestamp;
use knarr_machinery::Meta;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Arc<Meta>,
    pub spec: PodSpec,
    pub status: PodStatus,
}
view!(Pod, "", "pods");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Option<Box<str>>,
    pub scheduler_name: Box<str>,
    pub service_account_name: Box<str>,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Box<str>,
    pub host_network: bool,
    pub hostname: Box<str>,
    pub subdomain: Box<str>,
    pub priority: i32,
    /// `Never` for a pod that drives none away.
    pub preemption_policy: Option<Box<str>>,
    pub node_selector: Map,
    pub tolerations: Box<[Toleration]>,
    pub init_containers: Box<[Container]>,
    pub containers: Box<[Container]>,
    /// What a pod needs beside its containers.
    pub overhead: Map,
    pub termination_grace_period_seconds: Option<i64>,
    /// `spec.affinity`, for the scheduler alone.
    pub affinity: Option<Box<serde_json::value::RawValue>>,
    pub scheduling_gates: Box<[serde::de::IgnoredAny]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: Box<str>,
    pub image: Box<str>,
    pub ports: Box<[ContainerPort]>,
    pub resources: Resources,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<Box<str>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub name: Option<Box<str>>,
    pub container_port: u16,
    pub host_port: Option<u16>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<Box<str>>,
    /// `TCP` where it is empty.
    pub protocol: Box<str>,
}

/// Quantities by resource name, as the object writes them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub requests: Map,
    pub limits: Map,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: Box<str>,
    pub operator: Box<str>,
    pub value: Box<str>,
    pub effect: Box<str>,
    pub toleration_seconds: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Empty, `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Box<str>,
    pub reason: Box<str>,
    pub conditions: Box<[Condition]>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<Box<str>>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Box<[PodIp]>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<Box<str>>,
    pub nominated_node_name: Option<Box<str>>,
    pub start_time: Option<Timestamp>,
    pub container_statuses: Box<[ContainerStatus]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    pub ip: Box<str>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub name: Box<str>,
    pub ready: bool,
    pub restart_count: i32,
    pub state: ContainerState,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
    pub terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Waiting {
    pub reason: Box<str>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub reason: Box<str>,
    pub exit_code: i32,
}

impl Pod {
    /// It has ended for good: all its containers are done and none comes back.
    pub fn is_terminal(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// It counts for its owner: neither ended nor on its way out.
    pub fn is_live(&self) -> bool {
        !self.metadata.is_deleting() && !self.is_terminal()
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| &*ready.status == "True")
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| *condition.kind == *kind)
    }
}
