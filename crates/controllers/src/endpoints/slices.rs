//! `endpointslice-controller`: the EndpointSlices of a Service, from which routes are made.
//!
//! The first change is written at once, because a route matters in milliseconds; under a burst writes are spread to about one a second.
mod desired;

use super::{HEADLESS, has_selector, is_headless, pods_behind, services_of_pod, trigger_time};
use crate::ownership::Controlling;
use desired::Group;
use jiff::Timestamp;
use knarr_cluster::{
    Entry, Shelf, View,
    views::{Endpoint, EndpointSlice, Node, Pod, Service},
};
use knarr_machinery::Key;
use knarr_reconcile::{Action, Change, Controller, Object, Pace, Plan, Source};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

const KIND: Controlling = Controlling { api_version: "v1", kind: "Service" };
const MANAGED_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
const ZONE: &str = "topology.kubernetes.io/zone";
/// Endpoints in one slice, Kubernetes' default: a change then moves a few kilobytes, however large the Service is.
const MOST_ENDPOINTS: usize = 100;

pub struct EndpointSlices;

pub struct Look {
    service: Arc<Service>,
    pods: Vec<Arc<Pod>>,
    /// Zones by node.
    zones: BTreeMap<Box<str>, Box<str>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Controller for EndpointSlices {
    const NAME: &'static str = "endpointslice-controller";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            Source::itself::<Service>(),
            Source::by(EndpointSlice::resource(), service_of_slice),
            Source::by(Pod::resource(), services_of_pod),
        ]
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { first: Duration::from_millis(2), most: Duration::from_secs(1) })
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let service = shelf.view::<Service>(key)?;
        let pods = pods_behind(shelf, &service);
        let nodes: std::collections::BTreeSet<_> = pods.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
        let zone = |node: &str| shelf.view::<Node>(&Key::cluster(node))?.metadata.labels.get(ZONE).cloned();
        let zones = nodes.into_iter().filter_map(|node| Some((node.into(), zone(node)?))).collect();
        let slices = shelf.list(&EndpointSlice::resource(), Some(&key.namespace)).0;
        let ours = slices.iter().filter(|entry| is_ours(entry) && entry.meta.labels.get(EndpointSlice::SERVICE_NAME) == Some(&key.name));
        Some(Look { pods, zones, slices: ours.map(|entry| entry.view()).collect(), service })
    }

    fn reconcile(&self, look: &Look, _now: Timestamp) -> Plan {
        let Look { service, pods, zones, slices } = look;
        if !has_selector(service) || service.metadata.is_deleting() {
            return Plan::nothing();
        }
        let mut groups = desired::groups(service, pods, zones);
        if groups.is_empty() {
            // A Service without endpoints has one empty slice, so that watchers know that somebody has looked.
            groups.push(Group { address_type: desired::families(service).swap_remove(0), ports: vec![], endpoints: vec![] });
        }
        let head = Head { labels: labels(service), annotations: trigger_time(service, pods) };
        let mut left: Vec<&EndpointSlice> = slices.iter().map(|slice| &**slice).filter(|slice| !slice.metadata.is_deleting()).collect();
        let mut plan = Plan::nothing();
        for group in groups {
            let (same, others) = left.into_iter().partition(|slice| group.fits(slice));
            left = others;
            // The placeholder is any slice of the family, emptied: its name is known to watchers.
            let same: Vec<&EndpointSlice> =
                if same.is_empty() && group.endpoints.is_empty() { left.pop().into_iter().collect() } else { same };
            plan = plan.extend(fill(service, &head, &group, same));
        }
        plan.extend(left.into_iter().map(|slice| Action::delete(Object::of(slice))))
    }
}

/// What every slice of the Service says beside its endpoints.
struct Head {
    labels: Value,
    annotations: serde_json::Map<String, Value>,
}

fn is_ours(entry: &Entry) -> bool {
    entry.meta.labels.get(MANAGED_BY.0).is_some_and(|by| &**by == MANAGED_BY.1)
}

fn service_of_slice(_: &Shelf, change: Change<'_>) -> Vec<Key> {
    let name = |entry: &Arc<Entry>| entry.meta.labels.get(EndpointSlice::SERVICE_NAME).cloned();
    let key = |entry: &Arc<Entry>| Some(Key { namespace: entry.key.namespace.clone(), name: name(entry)? });
    change.states().filter(|entry| is_ours(entry)).filter_map(key).collect()
}

fn labels(service: &Service) -> Value {
    let mut labels = json!(service.metadata.labels);
    labels[MANAGED_BY.0] = json!(MANAGED_BY.1);
    labels[EndpointSlice::SERVICE_NAME] = json!(service.metadata.name);
    if is_headless(service) {
        labels[HEADLESS] = json!("");
    }
    labels
}

/// Puts a group's endpoints into slices: each stays where it is, new ones go where there is room, the fullest first.
fn fill(service: &Service, head: &Head, group: &Group, slices: Vec<&EndpointSlice>) -> Vec<Action> {
    let mut homeless: HashMap<&str, &Endpoint> = group.endpoints.iter().map(|endpoint| (desired::identity(endpoint), endpoint)).collect();
    let mut kept: Vec<(&EndpointSlice, Vec<&Endpoint>)> = slices
        .into_iter()
        .map(|slice| (slice, slice.endpoints.iter().filter_map(|endpoint| homeless.remove(desired::identity(endpoint))).collect()))
        .collect();
    let mut homeless: Vec<&Endpoint> =
        group.endpoints.iter().filter(|endpoint| homeless.contains_key(desired::identity(endpoint))).collect();
    kept.sort_by_key(|(_, endpoints)| std::cmp::Reverse(endpoints.len()));
    for (_, endpoints) in &mut kept {
        let room = MOST_ENDPOINTS.saturating_sub(endpoints.len()).min(homeless.len());
        endpoints.extend(homeless.drain(..room));
    }
    let mut actions = vec![];
    let is_placeholder = group.endpoints.is_empty();
    for (index, (slice, endpoints)) in kept.iter().enumerate() {
        if endpoints.is_empty() && !(is_placeholder && index == 0) {
            actions.push(Action::delete(Object::of(*slice)));
        } else {
            actions.extend(update(head, group, slice, endpoints));
        }
    }
    let is_missing = is_placeholder && kept.is_empty();
    let new = homeless.chunks(MOST_ENDPOINTS).chain(is_missing.then_some(&[][..]));
    actions.extend(new.map(|endpoints| create(service, head, group, endpoints)));
    actions
}

fn update(head: &Head, group: &Group, slice: &EndpointSlice, endpoints: &[&Endpoint]) -> Option<Action> {
    let is_same = slice.endpoints.len() == endpoints.len() && slice.endpoints.iter().zip(endpoints).all(|(has, wants)| has == *wants);
    if is_same && *slice.ports == *group.ports && json!(slice.metadata.labels) == head.labels {
        return None;
    }
    let gone = slice.metadata.labels.keys().filter(|key| head.labels[&***key].is_null()).map(|key| (key.to_string(), Value::Null));
    let mut labels = head.labels.as_object().cloned().unwrap_or_default();
    labels.extend(gone);
    let patch = json!({
        "metadata": {"labels": labels, "annotations": head.annotations},
        "endpoints": desired::endpoints_json(endpoints),
        "ports": desired::ports_json(&group.ports),
    });
    Some(Action::Patch { of: Object::of(slice), patch, revision: None })
}

fn create(service: &Service, head: &Head, group: &Group, endpoints: &[&Endpoint]) -> Action {
    let meta = &service.metadata;
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": meta.namespace,
            "generateName": format!("{}-", meta.name),
            "labels": head.labels,
            "annotations": head.annotations,
            "ownerReferences": [KIND.reference(meta)],
        },
        "addressType": group.address_type,
        "endpoints": desired::endpoints_json(endpoints),
        "ports": desired::ports_json(&group.ports),
    });
    Action::Create { resource: EndpointSlice::resource(), object, say: None }
}

#[cfg(test)]
mod tests;
