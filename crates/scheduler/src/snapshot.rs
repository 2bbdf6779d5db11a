//! The picture of the nodes that decisions are made on, kept up to date change by change.
//!
//! A pod that has just been placed counts at once, before its binding is on the shelf: it is *assumed*. The bound pod confirms it, a failed
//! binding takes it back.
use crate::node_info::{NodeInfo, Share, Usage};
use knarr_cluster::views::{Node, Pod};
use knarr_machinery::Key;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

#[derive(Default)]
pub struct Snapshot {
    nodes: BTreeMap<Box<str>, NodeInfo>,
    /// Of nodes that pods name and that are not there (yet).
    absent: HashMap<Box<str>, Usage>,
    placed: HashMap<Key, Placed>,
}

struct Placed {
    uid: Box<str>,
    node: Box<str>,
    /// Of the pod whose share this is: it may be resized.
    generation: i64,
    share: Share,
    is_assumed: bool,
}

/// Whether a change made room that a waiting pod may have waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    More,
    Same,
}

impl Snapshot {
    /// In the order of names.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values()
    }

    pub fn set_node(&mut self, node: Arc<Node>) -> Room {
        let name = node.metadata.name.clone();
        let old = self.nodes.remove(&name);
        let room = match &old {
            Some(old) if is_alike(&old.node, &node) => Room::Same,
            _ => Room::More,
        };
        let usage = old.map(|old| old.usage).or_else(|| self.absent.remove(&name)).unwrap_or_default();
        self.nodes.insert(name, NodeInfo::new(node, usage));
        room
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(info) = self.nodes.remove(name).filter(|info| info.usage.pods > 0) {
            self.absent.insert(name.into(), info.usage);
        }
    }

    /// A pod as it is now, or that it is gone. One that has ended takes nothing; one that is only leaving still does.
    pub fn set_pod(&mut self, key: &Key, pod: Option<&Pod>) -> Room {
        let on =
            pod.filter(|pod| !pod.is_terminal()).and_then(|pod| Some((pod, pod.spec.node_name.as_ref().filter(|node| !node.is_empty())?)));
        if let Some(placed) = self.placed.get_mut(key) {
            let is_same = |pod: &Pod| placed.uid == pod.metadata.uid;
            match (pod, on) {
                (Some(pod), Some((_, node))) if is_same(pod) && placed.node == *node && placed.generation == pod.metadata.generation => {
                    placed.is_assumed = false;
                    return Room::Same;
                }
                (Some(pod), None) if is_same(pod) && placed.is_assumed && !pod.is_terminal() => return Room::Same,
                _ => {}
            }
        }
        let room = if self.take(key) { Room::More } else { Room::Same };
        if let Some((pod, node)) = on {
            self.put(key, pod, node, Share::of(pod), false);
        }
        room
    }

    /// Counts a pod on the node that was chosen for it.
    pub fn assume(&mut self, key: &Key, pod: &Pod, node: &str, share: Share) {
        self.take(key);
        self.put(key, pod, node, share, true);
    }

    /// Takes an assumption back, unless the pod has been seen there since.
    pub fn forget(&mut self, key: &Key) {
        if self.placed.get(key).is_some_and(|placed| placed.is_assumed) {
            self.take(key);
        }
    }

    /// What is known of and stands not in a new list: those are gone.
    pub fn pods_not_in(&self, listed: &std::collections::HashSet<&Key>) -> Vec<Key> {
        self.placed.keys().filter(|key| !listed.contains(key)).cloned().collect()
    }

    pub fn nodes_not_in(&self, listed: &std::collections::HashSet<&str>) -> Vec<Box<str>> {
        self.nodes.keys().filter(|name| !listed.contains(&***name)).cloned().collect()
    }

    fn put(&mut self, key: &Key, pod: &Pod, node: &str, share: Share, is_assumed: bool) {
        self.usage(node).add(&share);
        let placed = Placed { uid: pod.metadata.uid.clone(), node: node.into(), generation: pod.metadata.generation, share, is_assumed };
        self.placed.insert(key.clone(), placed);
    }

    fn take(&mut self, key: &Key) -> bool {
        let Some(Placed { node, share, .. }) = self.placed.remove(key) else { return false };
        let usage = self.usage(&node);
        usage.remove(&share);
        if usage.pods == 0 {
            self.absent.remove(&node);
        }
        true
    }

    fn usage(&mut self, node: &str) -> &mut Usage {
        match self.nodes.get_mut(node) {
            Some(info) => &mut info.usage,
            None => self.absent.entry(node.into()).or_default(),
        }
    }
}

/// Nothing changed that decides where pods go; heartbeats are such.
fn is_alike(old: &Node, new: &Node) -> bool {
    old.status.allocatable == new.status.allocatable
        && old.metadata.labels == new.metadata.labels
        && old.spec.taints == new.spec.taints
        && old.spec.unschedulable == new.spec.unschedulable
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn node(cpu: &str) -> Arc<Node> {
        Arc::new(from_value(json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": cpu, "pods": "10"}}})).unwrap())
    }

    /// A pod that asks for one CPU: `n` when bound, a phase.
    fn pod(node: &str, phase: &str) -> Pod {
        let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]);
        from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": node, "containers": containers}, "status": {"phase": phase}})).unwrap()
    }

    fn used(snapshot: &Snapshot) -> i64 {
        snapshot.nodes().map(|info| info.usage.requested.cpu_millis).sum()
    }

    #[test]
    fn counts_an_assumed_pod_once() {
        let key = Key::new("one", "p");
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("4"));
        snapshot.assume(&key, &pod("", ""), "n", Share::of(&pod("", "")));
        for (seen, expected) in
            [(pod("", "Pending"), 1000), (pod("n", "Pending"), 1000), (pod("n", "Running"), 1000), (pod("n", "Succeeded"), 0)]
        {
            snapshot.set_pod(&key, Some(&seen));
            assert_eq!(used(&snapshot), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_failed_binding_is_taken_back_and_a_confirmed_one_is_not() {
        let key = Key::new("one", "p");
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("4"));
        snapshot.assume(&key, &pod("", ""), "n", Share::of(&pod("", "")));
        snapshot.forget(&key);
        assert_eq!(used(&snapshot), 0);
        snapshot.assume(&key, &pod("", ""), "n", Share::of(&pod("", "")));
        snapshot.set_pod(&key, Some(&pod("n", "Running")));
        snapshot.forget(&key);
        assert_eq!(used(&snapshot), 1000);
    }

    #[test]
    fn pods_of_a_node_count_before_and_after_it_is_there() {
        let key = Key::new("one", "p");
        let mut snapshot = Snapshot::default();
        snapshot.set_pod(&key, Some(&pod("n", "Running")));
        assert_eq!(snapshot.set_node(node("4")), Room::More);
        assert_eq!(used(&snapshot), 1000);
        snapshot.remove_node("n");
        snapshot.set_node(node("4"));
        assert_eq!(used(&snapshot), 1000);
        assert_eq!(snapshot.set_pod(&key, None), Room::More);
        assert_eq!(used(&snapshot), 0);
    }

    #[test]
    fn a_heartbeat_makes_no_room() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("4"));
        assert_eq!(snapshot.set_node(node("4")), Room::Same);
        assert_eq!(snapshot.set_node(node("8")), Room::More);
    }
}
