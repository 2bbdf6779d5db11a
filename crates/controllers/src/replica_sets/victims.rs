//! Which pods go first when there are too many.
use knarr_cluster::views::Pod;
use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    sync::Arc,
};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The pods in the order in which they are given up, as Kubernetes documents it for ReplicaSets: unassigned, pending, not ready, cheap ones first;
/// then those that crowd a node, those ready for a short time, those that restarted often, the young. `related` are the pods of all revisions of
/// a Deployment, which count for crowding.
pub(super) fn least_useful_first<'a>(pods: &[&'a Pod], related: &[Arc<Pod>]) -> Vec<&'a Pod> {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    let own = pods.iter().copied();
    let all: Vec<&Pod> =
        if related.is_empty() { own.collect() } else { related.iter().map(|pod| &**pod).filter(|pod| pod.is_live()).collect() };
    for node in all.iter().filter_map(|pod| pod.spec.node_name.as_deref()) {
        *crowd.entry(node).or_default() += 1;
    }
    let crowding = |pod: &Pod| pod.spec.node_name.as_deref().and_then(|node| crowd.get(node)).copied().unwrap_or(0);
    let mut order = pods.to_vec();
    order.sort_by_cached_key(|pod| Usefulness::of(pod, crowding(pod)));
    order
}

/// Sorts by its fields in turn, least useful first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Usefulness {
    is_assigned: bool,
    phase: u8,
    is_ready: bool,
    cost: i32,
    crowding: Reverse<usize>,
    ready_since: Young,
    restarts: Reverse<i32>,
    created: Young,
    uid: Box<str>,
}

impl Usefulness {
    fn of(pod: &Pod, crowding: usize) -> Self {
        let ready = pod.condition("Ready").filter(|ready| &*ready.status == "True");
        Self {
            is_assigned: pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty()),
            phase: match &*pod.status.phase {
                "" | "Pending" => 0,
                "Unknown" => 1,
                _ => 2,
            },
            is_ready: ready.is_some(),
            cost: pod.metadata.annotations.get(COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
            crowding: Reverse(crowding),
            ready_since: Young(ready.and_then(|ready| ready.last_transition_time).map(jiff::Timestamp::as_second)),
            restarts: Reverse(pod.status.container_statuses.iter().map(|container| container.restart_count).max().unwrap_or(0)),
            created: Young(pod.metadata.creation_timestamp.map(jiff::Timestamp::as_second)),
            uid: pod.metadata.uid.clone(),
        }
    }
}

/// A moment in seconds: the later goes first, an unknown one before all.
#[derive(PartialEq, Eq)]
struct Young(Option<i64>);

impl Ord for Young {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Some(one), Some(another)) => another.cmp(&one),
            (one, another) => one.is_some().cmp(&another.is_some()),
        }
    }
}
impl PartialOrd for Young {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
