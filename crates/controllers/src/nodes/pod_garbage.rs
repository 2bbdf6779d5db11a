//! `pod-garbage-collector-controller`: takes away pods that nobody else will: those of nodes that are gone, and ended ones beyond a number.
use super::ipam::All;
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{
    Shelf, View,
    views::{Namespace, Node, Pod},
};
use knarr_reconcile::{Action, Controller, Deletion, Object, Plan, Source};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often it looks, as upstream.
const EVERY: Duration = Duration::from_secs(20);
/// A node that is deleted and comes back within this time keeps its pods, as upstream.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// Ended pods that stay for people to look at, upstream's default.
const MOST_ENDED: usize = 12_500;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Remembers since when nodes are missing; after a restart the quarantine begins anew.
#[derive(Default)]
pub struct PodGarbageCollector {
    missing: Mutex<BTreeMap<Box<str>, Timestamp>>,
}

pub struct Look {
    pods: Vec<Arc<Pod>>,
    nodes: Vec<Arc<Node>>,
}

impl Controller for PodGarbageCollector {
    const NAME: &'static str = "pod-garbage-collector-controller";
    type Key = All;
    type Look = Look;

    /// A cluster has a namespace before it has anything else: that starts the rounds, which then go on by themselves.
    fn sources(&self) -> Vec<Source<All>> {
        vec![Source::by(Namespace::resource(), |_, change| if change.was.is_none() { vec![All] } else { vec![] })]
    }

    fn look(&self, shelf: &Shelf, _: &All) -> Option<Look> {
        Some(Look { pods: shelf.views(None), nodes: shelf.views(None) })
    }

    fn reconcile(&self, look: &Look, now: Timestamp) -> Plan {
        let gone = self.gone_for_good(look, now);
        let name = |pod: &Pod| pod.spec.node_name.clone().filter(|name| !name.is_empty());
        let orphaned = look.pods.iter().filter(|pod| name(pod).is_some_and(|node| gone.contains(&node)));
        let lost = orphaned.flat_map(|pod| take_away(pod, "DeletionByPodGC", "PodGC: node no longer exists"));
        // A pod that was never placed has nobody to confirm that it stopped.
        let unplaced =
            look.pods.iter().filter(|pod| pod.metadata.is_deleting() && name(pod).is_none() && pod.metadata.finalizers.is_empty());
        let out: BTreeSet<_> = look.nodes.iter().filter(|node| is_out_of_service(node)).map(|node| node.metadata.name.clone()).collect();
        let unconfirmed = look.pods.iter().filter(|pod| pod.metadata.is_deleting() && name(pod).is_some_and(|node| out.contains(&node)));
        let killed: Vec<_> = lost.chain(unplaced.chain(unconfirmed).map(|pod| kill(pod))).collect();
        Plan { actions: killed.into_iter().chain(beyond_number(&look.pods)).collect(), again_in: Some(EVERY) }
    }
}

impl PodGarbageCollector {
    /// The nodes that pods name and that have been missing for as long as the quarantine lasts.
    fn gone_for_good(&self, look: &Look, now: Timestamp) -> BTreeSet<Box<str>> {
        let known: BTreeSet<_> = look.nodes.iter().map(|node| &node.metadata.name).collect();
        let named: BTreeSet<_> = look
            .pods
            .iter()
            .filter_map(|pod| pod.spec.node_name.as_ref())
            .filter(|node| !node.is_empty() && !known.contains(node))
            .collect();
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|node, _| named.contains(node));
        for node in named {
            missing.entry(node.clone()).or_insert(now);
        }
        missing.iter().filter(|(_, since)| now.duration_since(**since) >= QUARANTINE).map(|(node, _)| node.clone()).collect()
    }
}

/// Nobody runs on it, says an operator, who has made sure.
fn is_out_of_service(node: &Node) -> bool {
    !node.is_ready() && node.spec.taints.iter().any(|taint| &*taint.key == OUT_OF_SERVICE)
}

/// Says why a pod that still counts as running ends, and takes it away.
fn take_away(pod: &Pod, reason: &str, message: &str) -> Vec<Action> {
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message});
    let ended = json!({"status": {"phase": "Failed", "conditions": [condition]}});
    let say = (!pod.is_terminal()).then(|| Action::Condition { of: Object::of(pod), patch: ended });
    say.into_iter().chain([kill(pod)]).collect()
}

fn kill(pod: &Pod) -> Action {
    Action::Delete { of: Object::of(pod), how: Deletion { propagation: None, grace_period_seconds: Some(0) }, say: None }
}

/// The oldest of the ended go first.
fn beyond_number(pods: &[Arc<Pod>]) -> Vec<Action> {
    let mut ended: Vec<_> = pods.iter().filter(|pod| pod.is_terminal() && !pod.metadata.is_deleting()).collect();
    let surplus = ended.len().saturating_sub(MOST_ENDED);
    ended.sort_by_key(|pod| pod.metadata.creation_timestamp);
    ended.into_iter().take(surplus).map(|pod| kill(pod)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::said;
    use serde_json::from_value;

    fn pod(name: &str, node: &str, more: &serde_json::Value) -> Arc<Pod> {
        let mut pod = json!({"metadata": {"name": name, "uid": name}, "spec": {"nodeName": node}, "status": {"phase": "Running"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            pod["metadata"][key] = value.clone();
        }
        Arc::new(from_value(pod).unwrap())
    }

    fn node(name: &str, taint: &str) -> Arc<Node> {
        Arc::new(from_value(json!({"metadata": {"name": name}, "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]}})).unwrap())
    }

    /// What is done at these seconds about the same pods and nodes.
    fn plans(look: &Look, seconds: &[i64]) -> Vec<String> {
        let collector = PodGarbageCollector::default();
        seconds.iter().map(|second| said(&collector.reconcile(look, Timestamp::from_second(*second).unwrap()))).collect()
    }

    #[test]
    fn pods_of_a_gone_node_go_after_the_quarantine() {
        let look = Look { pods: vec![pod("a", "gone", &json!({})), pod("b", "here", &json!({}))], nodes: vec![node("here", "x")] };
        assert_eq!(plans(&look, &[0, 20, 40]), ["", "", "status pods a, delete pods a"]);
    }

    #[test]
    fn a_leaving_pod_that_nobody_stops_goes() {
        let leaving = json!({"deletionTimestamp": "2024-01-01T00:00:00Z"});
        let look = Look {
            pods: vec![pod("a", "", &leaving), pod("b", "out", &leaving), pod("c", "out", &json!({}))],
            nodes: vec![node("out", OUT_OF_SERVICE)],
        };
        assert_eq!(plans(&look, &[0]), ["delete pods a, delete pods b"]);
    }
}
