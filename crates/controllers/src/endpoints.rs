//! What the two loops behind Services share: which pods stand behind a Service, and on which ports.
pub mod object;
pub mod slices;

use knarr_cluster::{
    Entry, Shelf,
    views::{IntOrString, Pod, Service, ServicePort},
};
use knarr_machinery::{Key, Meta};
use knarr_reconcile::Change;
use serde_json::{Value, json};
use std::sync::Arc;

/// When what the endpoints show was last changed, for those who measure how fast routes follow.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

/// The Services that a changed pod stands behind, or stood behind. A change that routes cannot see wakes nobody.
pub(crate) fn services_of_pod(shelf: &Shelf, change: Change<'_>) -> Vec<Key> {
    if let (Some(now), Some(was)) = (change.now, change.was)
        && now.meta.labels == was.meta.labels
        && Routed::of(&now.view()) == Routed::of(&was.view())
    {
        return vec![];
    }
    let services = shelf.views::<Service>(Some(&change.object().key.namespace));
    let concerned = services.iter().filter(|service| change.states().any(|pod| selects(service, &pod.meta)));
    concerned.map(|service| service.metadata.key()).collect()
}

/// What of a pod a route depends on.
#[derive(PartialEq)]
struct Routed {
    ips: Vec<Box<str>>,
    node: Option<Box<str>>,
    is_ready: bool,
    is_leaving: bool,
    is_terminal: bool,
}

impl Routed {
    fn of(pod: &Arc<Pod>) -> Self {
        Self {
            ips: pod.status.pod_ips.iter().map(|ip| ip.ip.clone()).chain(pod.status.pod_ip.clone()).collect(),
            node: pod.spec.node_name.clone(),
            is_ready: pod.is_ready(),
            is_leaving: pod.metadata.is_deleting(),
            is_terminal: pod.is_terminal(),
        }
    }
}

/// A Service without a selector is somebody else's to fill.
pub(crate) fn has_selector(service: &Service) -> bool {
    !service.spec.selector.is_empty() && &*service.spec.kind != "ExternalName"
}

fn selects(service: &Service, pod: &Meta) -> bool {
    has_selector(service) && service.spec.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// The pods behind a Service that have not ended and have an address.
pub(crate) fn pods_behind(shelf: &Shelf, service: &Service) -> Vec<Arc<Pod>> {
    let pods = shelf.list(&<Pod as knarr_cluster::View>::resource(), Some(&service.metadata.namespace)).0;
    let behind = pods.iter().filter(|entry| selects(service, &entry.meta)).map(|entry: &Arc<Entry>| entry.view::<Pod>());
    behind.filter(|pod| !pod.is_terminal() && (pod.status.pod_ip.is_some() || !pod.status.pod_ips.is_empty())).collect()
}

pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.cluster_ip.as_deref() == Some("None")
}

pub(crate) fn protocol(port: &ServicePort) -> &str {
    if port.protocol.is_empty() { "TCP" } else { &port.protocol }
}

/// The port of the pod that a Service's port leads to. A name is looked up among the pod's containers, sidecars included.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => {
            let sidecars = pod.spec.init_containers.iter().filter(|container| container.restart_policy.as_deref() == Some("Always"));
            let mut ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
            let same_protocol = |has: &str| if has.is_empty() { protocol(port) == "TCP" } else { has == protocol(port) };
            ports.find(|has| has.name.as_ref() == Some(name) && same_protocol(&has.protocol)).map(|has| has.container_port)
        }
    }
}

/// The annotation with the newest moment at which a pod behind the Service became what it is, or the Service's own.
pub(crate) fn trigger_time(service: &Service, pods: &[Arc<Pod>]) -> serde_json::Map<String, Value> {
    let ready = pods.iter().filter_map(|pod| pod.condition("Ready").and_then(|ready| ready.last_transition_time));
    let moment = ready.chain(service.metadata.creation_timestamp).max();
    moment.map(|moment| (TRIGGER_TIME.to_owned(), json!(moment))).into_iter().collect()
}
