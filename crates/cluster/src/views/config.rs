//! Namespaces, configuration and leases as loops see them.
use super::{Condition, Map, null_as_default};
use crate::view::view;
use jiff::Timestamp;
use knarr_machinery::Meta;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: Arc<Meta>,
    pub spec: NamespaceSpec,
    pub status: NamespaceStatus,
}
view!(Namespace, "", "namespaces");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    #[serde(deserialize_with = "null_as_default")]
    pub finalizers: Box<[Box<str>]>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    pub phase: Box<str>,
    pub conditions: Box<[Condition]>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    pub metadata: Arc<Meta>,
    #[serde(deserialize_with = "null_as_default")]
    pub data: Map,
    /// Base64, as the object has it.
    #[serde(deserialize_with = "null_as_default")]
    pub binary_data: Map,
}
view!(ConfigMap, "", "configmaps");

/// Has no `Debug`: its data must not find its way into a log.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Secret {
    pub metadata: Arc<Meta>,
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Base64, as the object has it.
    #[serde(deserialize_with = "null_as_default")]
    pub data: Map,
}
view!(Secret, "", "secrets");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    pub metadata: Arc<Meta>,
}
view!(ServiceAccount, "", "serviceaccounts");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub metadata: Arc<Meta>,
    pub spec: LeaseSpec,
}
view!(Lease, "coordination.k8s.io", "leases");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub holder_identity: Option<Box<str>>,
    pub lease_duration_seconds: Option<i32>,
    pub acquire_time: Option<Timestamp>,
    pub renew_time: Option<Timestamp>,
    pub lease_transitions: Option<i32>,
}
