//! Services, their endpoints and Ingresses as loops see them.
use super::{IntOrString, Map, null_as_default};
use crate::view::view;
use knarr_machinery::Meta;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Arc<Meta>,
    pub spec: ServiceSpec,
}
view!(Service, "", "services");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `None` for a headless one.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<Box<str>>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Box<[Box<str>]>,
    #[serde(rename = "externalIPs")]
    pub external_ips: Box<[Box<str>]>,
    pub external_name: Option<Box<str>>,
    #[serde(deserialize_with = "null_as_default")]
    pub selector: Map,
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[ServicePort]>,
    pub publish_not_ready_addresses: bool,
    /// `ClientIP` or `None`.
    pub session_affinity: Box<str>,
    pub internal_traffic_policy: Option<Box<str>>,
    pub external_traffic_policy: Option<Box<str>>,
    pub ip_families: Box<[Box<str>]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub name: Box<str>,
    /// `TCP` where it is empty.
    pub protocol: Box<str>,
    pub app_protocol: Option<Box<str>>,
    pub port: u16,
    pub target_port: Option<IntOrString>,
    pub node_port: Option<u16>,
}

/// The older form of a Service's endpoints.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    pub metadata: Arc<Meta>,
    /// As JSON: compared whole.
    pub subsets: Option<Box<serde_json::value::RawValue>>,
}
view!(Endpoints, "", "endpoints");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    pub metadata: Arc<Meta>,
    /// `IPv4` or `IPv6`.
    pub address_type: Box<str>,
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Box<[Endpoint]>,
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[EndpointPort]>,
}
view!(EndpointSlice, "discovery.k8s.io", "endpointslices");

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Box<[Box<str>]>,
    pub conditions: EndpointConditions,
    pub hostname: Option<Box<str>>,
    pub node_name: Option<Box<str>>,
    pub zone: Option<Box<str>>,
    pub target_ref: Option<TargetRef>,
}

/// Each absent one counts as Kubernetes says: `ready` and `serving` as true, `terminating` as false.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    pub kind: Box<str>,
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    #[serde(deserialize_with = "null_as_default")]
    pub name: Box<str>,
    #[serde(deserialize_with = "null_as_default")]
    pub protocol: Box<str>,
    pub app_protocol: Option<Box<str>>,
    pub port: Option<u16>,
}

impl EndpointSlice {
    /// The label by which a slice names its Service.
    pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

    pub fn service_name(&self) -> Option<&str> {
        self.metadata.labels.get(Self::SERVICE_NAME).map(|name| &**name)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ingress {
    pub metadata: Arc<Meta>,
    pub spec: IngressSpec,
    pub status: IngressStatus,
}
view!(Ingress, "networking.k8s.io", "ingresses");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    pub ingress_class_name: Option<Box<str>>,
    pub default_backend: Option<IngressBackend>,
    pub rules: Box<[IngressRule]>,
    pub tls: Box<[IngressTls]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    pub host: Option<Box<str>>,
    pub http: Option<HttpRule>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpRule {
    pub paths: Box<[HttpPath]>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPath {
    pub path: Box<str>,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub path_type: Box<str>,
    pub backend: IngressBackend,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressBackend {
    pub service: Option<IngressService>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressService {
    pub name: Box<str>,
    pub port: IngressPort,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressPort {
    pub name: Box<str>,
    pub number: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressTls {
    pub hosts: Box<[Box<str>]>,
    pub secret_name: Option<Box<str>>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    pub load_balancer: IngressLoadBalancer,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressLoadBalancer {
    #[serde(deserialize_with = "null_as_default")]
    pub ingress: Box<[IngressAddress]>,
}

/// Where an Ingress answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct IngressAddress {
    pub ip: Option<Box<str>>,
}
