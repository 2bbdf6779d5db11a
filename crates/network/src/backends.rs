//! Who answers for each Service: compiled from Services and EndpointSlices, read by the proxy, the Ingress and the routing tables. Pure.
//!
//! Cost: some microseconds a Service and endpoint, over views that are decoded already; 1,000 Services of 3 endpoints are about a millisecond.
use knarr_cluster::views::{EndpointSlice, Service};
use knarr_machinery::Key;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

pub type Backends = BTreeMap<Key, Backend>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backend {
    pub uid: Box<str>,
    /// Nothing for a headless Service, or one that got none yet.
    pub cluster_ip: Option<Ipv4Addr>,
    /// `sessionAffinity: ClientIP`: one client meets one endpoint as long as the endpoints stay.
    pub is_sticky: bool,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Port {
    pub name: Box<str>,
    pub number: u16,
    pub node_port: Option<u16>,
    pub is_tcp: bool,
    /// Who may be called: the ready ones, or where none is ready those that end but still serve (KEP-1669). In order of addresses.
    pub endpoints: Arc<[Endpoint]>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// The pod behind it.
    pub pod_uid: Option<Box<str>>,
}

/// The endpoints in the order in which one connection or request tries them, beginning at the `turn`th.
pub fn in_turn(endpoints: &[Endpoint], turn: usize) -> impl Iterator<Item = SocketAddr> + '_ {
    let first = turn.checked_rem(endpoints.len()).unwrap_or_default();
    let (before, after) = endpoints.split_at(first);
    after.iter().chain(before).map(|endpoint| endpoint.address)
}

/// Compiles what one node sees: `internalTrafficPolicy: Local` counts the endpoints of `node` only.
pub fn compile(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>], node: &str) -> Backends {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| &*slice.address_type == "IPv4") {
        if let Some(name) = slice.service_name() {
            by_service.entry((&*slice.metadata.namespace, name)).or_default().push(slice);
        }
    }
    let of = |service: &Service| {
        let slices = by_service.get(&(&*service.metadata.namespace, &*service.metadata.name)).map_or(&[][..], |slices| slices);
        backend(service, slices, node)
    };
    services.iter().filter(|service| &*service.spec.kind != "ExternalName").map(|service| (service.metadata.key(), of(service))).collect()
}

fn backend(service: &Service, slices: &[&EndpointSlice], node: &str) -> Backend {
    let spec = &service.spec;
    let only_on = (spec.internal_traffic_policy.as_deref() == Some("Local")).then_some(node);
    let ports = spec.ports.iter().map(|port| {
        let protocol = if port.protocol.is_empty() { "TCP" } else { &*port.protocol };
        Port {
            name: port.name.clone(),
            number: port.port,
            node_port: port.node_port.filter(|port| *port != 0),
            is_tcp: protocol == "TCP",
            endpoints: endpoints(slices, &port.name, protocol, only_on),
        }
    });
    Backend {
        uid: service.metadata.uid.clone(),
        cluster_ip: spec.cluster_ip.as_deref().and_then(|address| address.parse().ok()),
        is_sticky: &*spec.session_affinity == "ClientIP",
        ports: ports.collect(),
    }
}

fn endpoints(slices: &[&EndpointSlice], name: &str, protocol: &str, only_on: Option<&str>) -> Arc<[Endpoint]> {
    let (mut ready, mut ending) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let fits = |port: &&knarr_cluster::views::EndpointPort| {
            *port.name == *name && (*port.protocol == *protocol || port.protocol.is_empty() && protocol == "TCP")
        };
        let Some(port) = slice.ports.iter().find(fits).and_then(|port| port.port) else { continue };
        for endpoint in &slice.endpoints {
            if only_on.is_some_and(|node| endpoint.node_name.as_deref() != Some(node)) {
                continue;
            }
            let Some(ip) = endpoint.addresses.first().and_then(|address| address.parse::<Ipv4Addr>().ok()) else { continue };
            let pod_uid = endpoint.target_ref.as_ref().filter(|target| &*target.kind == "Pod").map(|target| target.uid.clone());
            let endpoint_of_port = Endpoint { address: SocketAddr::from((ip, port)), pod_uid };
            let conditions = &endpoint.conditions;
            if conditions.ready.unwrap_or(true) {
                ready.insert(endpoint_of_port);
            } else if conditions.serving.unwrap_or(false) && conditions.terminating.unwrap_or(false) {
                ending.insert(endpoint_of_port);
            }
        }
    }
    if ready.is_empty() { ending.into_iter().collect() } else { ready.into_iter().collect() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A Service `default/web` with one port `http` 80 and what `more` adds to its spec.
    pub fn service(name: &str, more: Value) -> Arc<Service> {
        let mut spec = json!({"clusterIP": "10.96.0.5", "type": "ClusterIP", "ports": [{"name": "http", "port": 80}]});
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            spec[key] = value;
        }
        let object = json!({"metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}")}, "spec": spec});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    /// A slice of a Service from words like `10.42.0.3`, `10.42.0.3!` (not ready), `10.42.0.3~` (terminating, serving), `10.42.0.3@n2` (on a node).
    pub fn slice(service: &str, port: u16, endpoints: &str) -> Arc<EndpointSlice> {
        let endpoints: Vec<_> = endpoints
            .split_whitespace()
            .map(|said| {
                let (said, node) = said.split_once('@').unwrap_or((said, "n1"));
                let address = said.trim_end_matches(['!', '~']);
                let conditions = match said.strip_prefix(address) {
                    Some("!") => json!({"ready": false, "serving": false, "terminating": false}),
                    Some("~") => json!({"ready": false, "serving": true, "terminating": true}),
                    _ => json!({}),
                };
                let target = json!({"kind": "Pod", "namespace": "default", "name": "p", "uid": format!("pod-{address}")});
                json!({"addresses": [address], "conditions": conditions, "nodeName": node, "targetRef": target})
            })
            .collect();
        let labels = json!({"kubernetes.io/service-name": service});
        let object = json!({"metadata": {"namespace": "default", "name": service, "labels": labels}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "http", "port": port, "protocol": "TCP"}]});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn called(service: &Arc<Service>, slices: &[Arc<EndpointSlice>]) -> String {
        let compiled = compile(std::slice::from_ref(service), slices, "n1");
        let Some(backend) = compiled.values().next() else { return "nothing".into() };
        backend.ports[0].endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn says_who_may_be_called() {
        for (what, more, endpoints, expected) in [
            ("ready ones, in order", json!({}), "10.42.0.4 10.42.0.3", "10.42.0.3:8080 10.42.0.4:8080"),
            ("not the unready", json!({}), "10.42.0.4! 10.42.0.3", "10.42.0.3:8080"),
            ("not the ending while one is ready", json!({}), "10.42.0.4~ 10.42.0.3", "10.42.0.3:8080"),
            ("the ending when nobody is ready", json!({}), "10.42.0.4~ 10.42.0.3!", "10.42.0.4:8080"),
            ("nobody", json!({}), "10.42.0.3!", ""),
            ("this node's only", json!({"internalTrafficPolicy": "Local"}), "10.42.0.3@n2 10.42.0.4", "10.42.0.4:8080"),
            ("another port's name", json!({"ports": [{"name": "admin", "port": 80}]}), "10.42.0.3", ""),
            ("another protocol", json!({"ports": [{"name": "http", "port": 80, "protocol": "UDP"}]}), "10.42.0.3", ""),
            ("an external name is no backend", json!({"type": "ExternalName", "externalName": "example.org"}), "10.42.0.3", "nothing"),
        ] {
            assert_eq!(called(&service("web", more), &[slice("web", 8080, endpoints)]), expected, "{what}");
        }
    }

    #[test]
    fn joins_the_slices_of_a_service_and_no_others() {
        let slices = [slice("web", 8080, "10.42.0.3"), slice("web", 9090, "10.42.0.4"), slice("api", 8080, "10.42.0.9")];
        assert_eq!(called(&service("web", json!({})), &slices), "10.42.0.3:8080 10.42.0.4:9090");
    }

    #[test]
    fn a_headless_service_has_no_address() {
        let compiled = compile(&[service("web", json!({"clusterIP": "None"}))], &[], "n1");
        assert_eq!(compiled.values().next().unwrap().cluster_ip, None);
    }
}
