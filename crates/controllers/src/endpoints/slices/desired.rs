//! The endpoints that a Service should have, by the ports that they share.
use super::super::{protocol, target_port};
use knarr_cluster::views::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, Pod, Service, TargetRef};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// Endpoints of one address family and one set of ports; a slice can hold only such.
pub(super) struct Group {
    pub(super) address_type: Box<str>,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Group {
    pub(super) fn fits(&self, slice: &EndpointSlice) -> bool {
        slice.address_type == self.address_type && *slice.ports == *self.ports
    }
}

/// The address families of a Service, `IPv4` where nothing is said.
pub(super) fn families(service: &Service) -> Vec<Box<str>> {
    if service.spec.ip_families.is_empty() { vec!["IPv4".into()] } else { service.spec.ip_families.to_vec() }
}

/// In the order of the pods.
pub(super) fn groups(service: &Service, pods: &[Arc<Pod>], zones: &BTreeMap<Box<str>, Box<str>>) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    for address_type in families(service) {
        for pod in pods {
            let Some(address) = address(pod, &address_type) else { continue };
            let endpoint = endpoint(service, pod, address, zones);
            let ports = ports(service, pod);
            match groups.iter_mut().find(|group| group.address_type == address_type && group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { address_type: address_type.clone(), ports, endpoints: vec![endpoint] }),
            }
        }
    }
    groups
}

/// By which an endpoint is known again: its pod.
pub(super) fn identity(endpoint: &Endpoint) -> &str {
    endpoint.target_ref.as_ref().map_or("", |target| &target.uid)
}

fn address<'a>(pod: &'a Pod, address_type: &str) -> Option<&'a str> {
    let is_wanted = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4() == (address_type == "IPv4"));
    let all = pod.status.pod_ips.iter().map(|ip| &*ip.ip).chain(pod.status.pod_ip.as_deref());
    all.into_iter().find(|ip| is_wanted(ip))
}

/// A pod without one of the named ports has an endpoint all the same, in a slice without that port.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let one = |port: &knarr_cluster::views::ServicePort| {
        Some(EndpointPort {
            name: port.name.clone(),
            protocol: protocol(port).into(),
            app_protocol: port.app_protocol.clone(),
            port: Some(target_port(pod, port)?),
        })
    };
    service.spec.ports.iter().filter_map(one).collect()
}

/// Ready to serve, and not on its way out; a Service that publishes all calls each one ready.
fn endpoint(service: &Service, pod: &Pod, address: &str, zones: &BTreeMap<Box<str>, Box<str>>) -> Endpoint {
    let (serving, terminating) = (pod.is_ready(), pod.metadata.is_deleting());
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let has_name = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    let meta = &pod.metadata;
    Endpoint {
        addresses: [address.into()].into(),
        conditions: EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) },
        hostname: has_name.then(|| pod.spec.hostname.clone()),
        node_name: pod.spec.node_name.clone(),
        zone: pod.spec.node_name.as_ref().and_then(|node| zones.get(node)).cloned(),
        target_ref: Some(TargetRef {
            kind: "Pod".into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }),
    }
}

pub(super) fn endpoints_json(endpoints: &[&Endpoint]) -> Value {
    let one = |endpoint: &&Endpoint| {
        let EndpointConditions { ready, serving, terminating } = endpoint.conditions;
        let mut json =
            json!({"addresses": endpoint.addresses, "conditions": {"ready": ready, "serving": serving, "terminating": terminating}});
        for (field, value) in [("hostname", &endpoint.hostname), ("nodeName", &endpoint.node_name), ("zone", &endpoint.zone)] {
            if let Some(value) = value {
                json[field] = json!(value);
            }
        }
        if let Some(TargetRef { kind, namespace, name, uid }) = &endpoint.target_ref {
            json["targetRef"] = json!({"kind": kind, "namespace": namespace, "name": name, "uid": uid});
        }
        json
    };
    endpoints.iter().map(one).collect()
}

pub(super) fn ports_json(ports: &[EndpointPort]) -> Value {
    let one = |port: &EndpointPort| {
        let mut json = json!({"name": port.name, "protocol": port.protocol, "port": port.port});
        if let Some(protocol) = &port.app_protocol {
            json["appProtocol"] = json!(protocol);
        }
        json
    };
    ports.iter().map(one).collect()
}
