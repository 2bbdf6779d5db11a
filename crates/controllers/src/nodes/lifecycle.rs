//! `node-lifecycle-controller`: notices nodes that fall silent, and keeps the taints that tell the scheduler what state a node is in.
//!
//! Silence is measured from when this process last saw a sign of life, by its own clock: neither a node's wrong clock nor a pause of the server
//! makes nodes look dead. A node that is unreachable gets the taint that evicts only while some other node is well: if all are silent, it is us
//! who cannot hear.
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{
    ObjectRef, Shelf, Type, View,
    views::{Condition, Lease, Node, Pod, Taint},
};
use knarr_machinery::{Key, Revision};
use knarr_reconcile::{Action, Controller, Object, Plan, Source};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::conditions::whole_seconds;

/// How long a node may be silent, as upstream: four heartbeats.
const GRACE: SignedDuration = SignedDuration::from_secs(40);
const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that are bad news when true, and their taints.
const TAINTS: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
/// What nobody can know of a silent node.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Labels that older clients still select by, kept in step with today's.
const OLD_LABELS: [(&str, &str); 2] = [("kubernetes.io/arch", "beta.kubernetes.io/arch"), ("kubernetes.io/os", "beta.kubernetes.io/os")];

#[derive(Default)]
pub struct NodeLifecycle {
    /// The last sign of life of each node, and when it was seen here. Bounded by the nodes there are: one that goes is forgotten.
    heard: Mutex<BTreeMap<Box<str>, (Sign, Timestamp)>>,
}

/// The times that a node itself writes: any change of them is a sign of life.
type Sign = (Option<Timestamp>, Option<Timestamp>);

pub struct Look {
    name: Box<str>,
    node: Option<(Arc<Node>, Revision)>,
    lease: Option<Arc<Lease>>,
    pods: Vec<Arc<Pod>>,
    /// Some other node is well.
    others_are_well: bool,
}

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-lifecycle-controller";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        let node_of_lease = |key: &Key| if &*key.namespace == LEASES { vec![Key::cluster(&key.name)] } else { vec![] };
        vec![Source::itself::<Node>(), Source::by(Lease::resource(), move |_, change| node_of_lease(&change.object().key))]
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let nodes = shelf.views::<Node>(None);
        Some(Look {
            name: key.name.clone(),
            node: shelf.get(&Node::resource(), key).map(|entry| (entry.view(), entry.revision)),
            lease: shelf.view(&Key::new(LEASES, &key.name)),
            pods: shelf.pods_on(&key.name),
            others_are_well: nodes.iter().any(|node| node.metadata.name != key.name && node.is_ready()),
        })
    }

    fn reconcile(&self, look: &Look, now: Timestamp) -> Plan {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((node, revision)) = &look.node else {
            heard.remove(&look.name);
            return Plan::nothing();
        };
        let mut plan = Plan::nothing();
        let sign = sign(node, look.lease.as_deref());
        match heard.get(&look.name) {
            Some((last, _)) if *last == sign => {}
            Some(_) => drop(heard.insert(look.name.clone(), (sign, now))),
            None => {
                heard.insert(look.name.clone(), (sign, now));
                let message = format!("Node {0} event: Registered Node {0} in Controller", look.name);
                plan = plan.then(say(node, "RegisteredNode", message));
            }
        }
        let silent_from = heard[&look.name].1 + GRACE;
        drop(heard);
        if silent_from <= now {
            plan = plan.extend(declare_silent(node, now)).extend(declare_pods(&look.pods, now));
        } else {
            plan = plan.again_at(silent_from, now);
        }
        plan.extend(taint(node, *revision, silent_from <= now, look.others_are_well, now)).extend(relabel(node))
    }
}

fn sign(node: &Node, lease: Option<&Lease>) -> Sign {
    let ready = node.status.conditions.iter().find(|condition| &*condition.kind == "Ready");
    (lease.and_then(|lease| lease.spec.renew_time), ready.and_then(|ready| ready.last_heartbeat_time))
}

/// What the node said last is no longer known to be true.
fn declare_silent(node: &Node, now: Timestamp) -> Vec<Action> {
    let old = |kind: &str| node.status.conditions.iter().find(|condition| *condition.kind == *kind);
    let unknown = |kind: &&str| {
        let (reason, message) = match old(kind) {
            Some(condition) if &*condition.status == "Unknown" => return None,
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let heartbeat = old(kind).and_then(|condition| condition.last_heartbeat_time).or(node.metadata.creation_timestamp);
        Some(json!({"type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastHeartbeatTime": heartbeat, "lastTransitionTime": whole_seconds(now)}))
    };
    let conditions: Vec<_> = REPORTED.iter().filter_map(unknown).collect();
    if conditions.is_empty() {
        return vec![];
    }
    let patch = json!({"status": {"conditions": conditions}});
    let message = format!("Node {} status is now: NodeNotReady", node.metadata.name);
    vec![Action::Condition { of: Object::of(node), patch }, say(node, "NodeNotReady", message)]
}

/// Pods of a silent node stop taking traffic.
fn declare_pods(pods: &[Arc<Pod>], now: Timestamp) -> Vec<Action> {
    let ready = pods.iter().filter(|pod| pod.is_ready() && !pod.is_terminal());
    let condition = json!({"type": "Ready", "status": "False", "reason": "NodeNotReady", "message": "Node is not ready", "lastTransitionTime": whole_seconds(now)});
    ready.map(|pod| Action::Condition { of: Object::of(&**pod), patch: json!({"status": {"conditions": [condition]}}) }).collect()
}

/// Replaces the taints that say what state a node is in, and leaves all others alone.
fn taint(node: &Node, revision: Revision, is_silent: bool, others_are_well: bool, now: Timestamp) -> Option<Action> {
    let status = |kind: &str| Condition::status_of(&node.status.conditions, kind);
    let mut wanted: Vec<(&str, &str)> = vec![];
    match status("Ready") {
        Some("True") if !is_silent => {}
        Some("False") if !is_silent => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        None if !is_silent => wanted.push((NOT_READY, "NoSchedule")),
        _ => {
            wanted.push((UNREACHABLE, "NoSchedule"));
            let has_it = node.spec.taints.iter().any(|taint| &*taint.key == UNREACHABLE && &*taint.effect == "NoExecute");
            if others_are_well || has_it {
                wanted.push((UNREACHABLE, "NoExecute"));
            }
        }
    }
    wanted.extend(TAINTS.iter().filter(|(kind, _)| status(kind) == Some("True")).map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.unschedulable {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let is_managed = |taint: &&Taint| {
        [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&&*taint.key) || TAINTS.iter().any(|(_, key)| **key == *taint.key)
    };
    let is = |taint: &Taint, (key, effect): (&str, &str)| *taint.key == *key && *taint.effect == *effect;
    let managed: Vec<_> = node.spec.taints.iter().filter(is_managed).collect();
    if managed.len() == wanted.len() && wanted.iter().all(|wanted| managed.iter().any(|taint| is(taint, *wanted))) {
        return None;
    }
    let kept = node.spec.taints.iter().filter(|taint| !is_managed(taint) || wanted.iter().any(|wanted| is(taint, *wanted)));
    let new = wanted.iter().filter(|wanted| !managed.iter().any(|taint| is(taint, **wanted)));
    let since = whole_seconds(now);
    let taints: Vec<Value> = kept
        .map(taint_json)
        .chain(new.map(|(key, effect)| {
            taint_json(&Taint { key: (*key).into(), effect: (*effect).into(), time_added: Some(since), ..Taint::default() })
        }))
        .collect();
    Some(Action::Patch { of: Object::of(node), patch: json!({"spec": {"taints": taints}}), revision: Some(revision) })
}

fn taint_json(taint: &Taint) -> Value {
    let mut json = json!({"key": taint.key, "effect": taint.effect});
    if !taint.value.is_empty() {
        json["value"] = json!(taint.value);
    }
    if let Some(since) = taint.time_added {
        json["timeAdded"] = json!(since);
    }
    json
}

fn relabel(node: &Node) -> Option<Action> {
    let labels = &node.metadata.labels;
    let behind = OLD_LABELS.iter().filter(|(today, old)| labels.contains_key(*today) && labels.get(*today) != labels.get(*old));
    let wanted: serde_json::Map<String, Value> = behind.map(|(today, old)| ((*old).to_owned(), json!(labels[*today]))).collect();
    (!wanted.is_empty()).then(|| Action::Patch { of: Object::of(node), patch: json!({"metadata": {"labels": wanted}}), revision: None })
}

fn say(node: &Node, reason: &'static str, message: String) -> Action {
    let about = ObjectRef {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone(),
        uid: node.metadata.uid.clone(),
        ..ObjectRef::default()
    };
    Action::Event { about, kind: Type::Normal, reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::said;
    use serde_json::from_value;

    fn node(ready: &str, spec: &Value) -> Arc<Node> {
        let conditions = if ready.is_empty() { json!([]) } else { json!([{"type": "Ready", "status": ready}]) };
        Arc::new(from_value(json!({"metadata": {"name": "w", "uid": "w"}, "spec": spec, "status": {"conditions": conditions}})).unwrap())
    }

    fn look(node: Arc<Node>, renewed: i64) -> Look {
        let lease = from_value(json!({"spec": {"renewTime": Timestamp::from_second(renewed).unwrap()}})).unwrap();
        let pod = from_value(json!({"metadata": {"name": "p", "uid": "p"}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})).unwrap();
        Look {
            name: "w".into(),
            node: Some((node, Revision(1))),
            lease: Some(Arc::new(lease)),
            pods: vec![Arc::new(pod)],
            others_are_well: true,
        }
    }

    /// The plans at these moments, each with when the lease was renewed.
    fn plans(moments: &[(i64, i64)]) -> Vec<String> {
        let lifecycle = NodeLifecycle::default();
        moments
            .iter()
            .map(|(now, renewed)| {
                said(&lifecycle.reconcile(&look(node("True", &json!({})), *renewed), Timestamp::from_second(*now).unwrap()))
            })
            .collect()
    }

    /// The taints after a pass over a node in such a state, as `key:effect`, or nothing if none is written.
    fn taints(ready: &str, spec: &Value, others_are_well: bool, silent: bool) -> String {
        let Some(Action::Patch { patch, .. }) = taint(&node(ready, spec), Revision(1), silent, others_are_well, Timestamp::UNIX_EPOCH)
        else {
            return String::new();
        };
        let one = |taint: &Value| {
            format!("{}:{}", taint["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/"), taint["effect"].as_str().unwrap())
        };
        patch["spec"]["taints"].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(" ")
    }

    const REGISTERED: &str = "say RegisteredNode: Node w event: Registered Node w in Controller";

    #[test]
    fn silence_counts_from_what_was_seen_here() {
        assert_eq!(plans(&[(1000, 0), (1039, 0)]), [REGISTERED, ""], "an old lease is no silence at the start");
        let silent = "status nodes w, say NodeNotReady: Node w status is now: NodeNotReady, status pods p, patch nodes w";
        assert_eq!(plans(&[(1000, 0), (1040, 0)]), [REGISTERED, silent]);
        assert_eq!(plans(&[(1000, 0), (1030, 5), (1060, 5)]), [REGISTERED, "", ""], "any change of the lease is a sign of life");
    }

    #[test]
    fn looks_again_when_silence_would_be_too_long() {
        let plan = NodeLifecycle::default().reconcile(&look(node("True", &json!({})), 0), Timestamp::UNIX_EPOCH);
        assert_eq!(plan.again_in, Some(std::time::Duration::from_secs(40)));
    }

    #[test]
    fn taints_say_what_state_a_node_is_in() {
        for (ready, spec, silent, expected) in [
            ("True", json!({}), false, ""),
            ("False", json!({}), false, "not-ready:NoSchedule not-ready:NoExecute"),
            ("", json!({}), false, "not-ready:NoSchedule"),
            (
                "True",
                json!({"taints": [{"key": NOT_READY, "effect": "NoSchedule"}, {"key": "mine", "effect": "NoSchedule"}]}),
                false,
                "mine:NoSchedule",
            ),
            ("True", json!({"unschedulable": true}), false, "unschedulable:NoSchedule"),
            ("Unknown", json!({}), false, "unreachable:NoSchedule unreachable:NoExecute"),
            ("True", json!({}), true, "unreachable:NoSchedule unreachable:NoExecute"),
            ("True", json!({"unschedulable": true, "taints": [{"key": UNSCHEDULABLE, "effect": "NoSchedule"}]}), false, ""),
        ] {
            assert_eq!(taints(ready, &spec, true, silent), expected, "{ready} {spec}");
        }
    }

    #[test]
    fn nobody_is_evicted_when_all_are_silent() {
        assert_eq!(taints("Unknown", &json!({}), false, true), "unreachable:NoSchedule");
    }
}
