//! `endpoints-controller`: the older `Endpoints` object of a Service, which some tools still read.
use super::{HEADLESS, has_selector, is_headless, pods_behind, protocol, services_of_pod, target_port, trigger_time};
use jiff::Timestamp;
use knarr_cluster::{
    Shelf, View,
    views::{Endpoints, Pod, Service},
};
use knarr_machinery::Key;
use knarr_reconcile::{Action, Controller, Object, Pace, Plan, Source};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// An Endpoints object is one object however large a Service is; Kubernetes stops at this many addresses.
const MOST_ADDRESSES: usize = 1000;

pub struct EndpointsObjects;

pub struct Look {
    key: Key,
    service: Option<Arc<Service>>,
    pods: Vec<Arc<Pod>>,
    endpoints: Option<Arc<Endpoints>>,
}

impl Controller for EndpointsObjects {
    const NAME: &'static str = "endpoints-controller";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::itself::<Service>(), Source::itself::<Endpoints>(), Source::by(Pod::resource(), services_of_pod)]
    }

    /// Nothing of ours routes by these objects, so a burst may wait.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { first: Duration::from_millis(50), most: Duration::from_secs(1) })
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let service = shelf.view::<Service>(key);
        let endpoints = shelf.view::<Endpoints>(key);
        let pods = service.as_ref().map(|service| pods_behind(shelf, service)).unwrap_or_default();
        Some(Look { key: key.clone(), service, pods, endpoints })
    }

    fn reconcile(&self, look: &Look, _now: Timestamp) -> Plan {
        let is_ours = |endpoints: &&Arc<Endpoints>| endpoints.metadata.labels.get(MANAGED_BY.0).is_some_and(|by| &**by == MANAGED_BY.1);
        let Some(service) = &look.service else {
            return Plan::nothing().extend(look.endpoints.iter().filter(is_ours).map(|endpoints| Action::delete(Object::of(&**endpoints))));
        };
        if !has_selector(service) || service.metadata.is_deleting() {
            return Plan::nothing();
        }
        let subsets = subsets(service, &look.pods);
        let labels = labels(service);
        let mut annotations = json!(trigger_time(service, &look.pods));
        if look.pods.len() > MOST_ADDRESSES {
            annotations[OVER_CAPACITY] = json!("truncated");
        }
        let Some(endpoints) = &look.endpoints else {
            let metadata = json!({"namespace": look.key.namespace, "name": look.key.name, "labels": labels, "annotations": annotations});
            let object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets});
            return Plan::nothing().then(Action::Create { resource: Endpoints::resource(), object, say: None });
        };
        let has_subsets: Value =
            endpoints.subsets.as_ref().and_then(|subsets| serde_json::from_str(subsets.get()).ok()).unwrap_or_default();
        let is_empty = has_subsets.is_null() && subsets == json!([]);
        if (has_subsets == subsets || is_empty) && json!(endpoints.metadata.labels) == labels {
            return Plan::nothing();
        }
        let gone = endpoints.metadata.labels.keys().filter(|key| labels[&***key].is_null()).map(|key| (key.to_string(), Value::Null));
        let mut patched = labels.as_object().cloned().unwrap_or_default();
        patched.extend(gone);
        let patch = json!({"metadata": {"labels": patched, "annotations": annotations}, "subsets": subsets});
        Plan::nothing().then(Action::Patch { of: Object::of(&**endpoints), patch, revision: None })
    }
}

fn labels(service: &Service) -> Value {
    let mut labels = json!(service.metadata.labels);
    labels[MANAGED_BY.0] = json!(MANAGED_BY.1);
    if is_headless(service) {
        labels[HEADLESS] = json!("");
    }
    labels
}

/// Addresses by the ports that they have; leaving pods only where the Service wants all. A pod without one of the ports is left out of it.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Value {
    let publishes_all = service.spec.publish_not_ready_addresses;
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| publishes_all || !pod.metadata.is_deleting()).take(MOST_ADDRESSES) {
        let ports: Vec<_> = service.spec.ports.iter().filter_map(|port| Some(json_port(port, target_port(pod, port)?))).collect();
        if ports.is_empty() && !service.spec.ports.is_empty() {
            continue;
        }
        let ports = json!(ports);
        let (_, ready, not_ready) = by_ports.entry(ports.to_string()).or_insert_with(|| (ports, vec![], vec![]));
        if publishes_all || pod.is_ready() { ready } else { not_ready }.extend(address(service, pod));
    }
    let subset = |(ports, ready, not_ready): (Value, Vec<Value>, Vec<Value>)| {
        let mut subset = json!({});
        for (field, list) in [("addresses", json!(ready)), ("notReadyAddresses", json!(not_ready)), ("ports", ports)] {
            if list != json!([]) {
                subset[field] = list;
            }
        }
        subset
    };
    by_ports.into_values().map(subset).collect()
}

fn json_port(port: &knarr_cluster::views::ServicePort, number: u16) -> Value {
    let mut json = json!({"port": number, "protocol": protocol(port)});
    if !port.name.is_empty() {
        json["name"] = json!(port.name);
    }
    if let Some(protocol) = &port.app_protocol {
        json["appProtocol"] = json!(protocol);
    }
    json
}

fn address(service: &Service, pod: &Pod) -> Option<Value> {
    let ip = pod.status.pod_ip.as_ref().or_else(|| pod.status.pod_ips.first().map(|ip| &ip.ip))?;
    let meta = &pod.metadata;
    let mut address = json!({"ip": ip, "targetRef": {"kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}});
    if let Some(node) = &pod.spec.node_name {
        address["nodeName"] = json!(node);
    }
    if !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name {
        address["hostname"] = json!(pod.spec.hostname);
    }
    Some(address)
}

#[cfg(test)]
mod tests;
