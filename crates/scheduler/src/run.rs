//! The scheduler's shell: keeps the picture, decides one pod after the other, writes what was decided.
//!
//! One task owns everything; deciding takes microseconds and never waits. Writes go out beside it, and a pod that was given a place counts
//! there from that moment on, so a thousand pods are bound at the speed at which the store commits.
use crate::{
    decide::{Candidate, Decision, decide},
    plugins::{self, Plugin},
    queue::Queue,
    snapshot::{Room, Snapshot},
};
use bytes::Bytes;
use knarr_cluster::{
    Cluster, Entry, Identity, ObjectRef, Options, PatchType, Recorder, Target, Type, Verb, View, Watch, Write,
    views::{Node, Pod},
};
use knarr_machinery::{Key, Reason, Status};
use serde_json::json;
use std::{collections::HashSet, sync::Arc};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The name that pods ask for, and that events come from.
const NAME: &str = "default-scheduler";
/// Writes in flight at once: enough for the store to put many in one commit.
const MOST_WRITES: usize = 128;
/// Decisions in a row before changes are looked at again.
const AT_ONCE: usize = 64;

/// Gives pods their nodes until it is told to stop.
pub async fn run(cluster: Cluster, stop: CancellationToken) {
    let who = Identity { user: "system:kube-scheduler".into(), groups: vec!["system:authenticated".into()], ..Identity::default() };
    let recorder = Recorder::new(cluster.clone(), who.clone(), NAME);
    let mut scheduler = Scheduler {
        cluster,
        who: Arc::new(who),
        recorder,
        plugins: plugins::all(),
        snapshot: Snapshot::default(),
        queue: Queue::default(),
        writes: JoinSet::new(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = scheduler.go() => {}
    }
    scheduler.writes.shutdown().await;
}

struct Scheduler {
    cluster: Cluster,
    who: Arc<Identity>,
    recorder: Recorder,
    plugins: Vec<(Box<dyn Plugin>, i64)>,
    snapshot: Snapshot,
    queue: Queue,
    writes: JoinSet<Written>,
}

/// How a write went.
struct Written {
    key: Key,
    pod: Arc<Pod>,
    /// Where the pod was bound; nothing for a condition.
    node: Option<Box<str>>,
    answer: Result<(), Status>,
}

impl Scheduler {
    async fn go(&mut self) {
        let mut nodes = self.list_nodes();
        let mut pods = self.list_pods();
        loop {
            let now = Instant::now();
            self.queue.promote(now);
            for _ in 0..AT_ONCE {
                if self.writes.len() >= MOST_WRITES {
                    break;
                }
                let Some((key, pod)) = self.queue.pop() else { break };
                self.place(key, pod, now);
            }
            let can_go_on = self.queue.has_active() && self.writes.len() < MOST_WRITES;
            let due = self.queue.next_due();
            tokio::select! {
                biased;
                Some(written) = self.writes.join_next() => {
                    match written {
                        Ok(written) => self.written(written),
                        Err(error) => warn!(%error, "a write was lost"),
                    }
                }
                seen = nodes.next() => match seen {
                    Ok(seen) => seen.iter().for_each(|step| self.see_node(step.now.as_deref(), step.was.as_deref())),
                    Err(_) => nodes = self.list_nodes(),
                },
                seen = pods.next() => match seen {
                    Ok(seen) => seen.iter().for_each(|step| self.see_pod(step.now.as_deref(), step.was.as_deref())),
                    Err(_) => pods = self.list_pods(),
                },
                () = std::future::ready(()), if can_go_on => {}
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            }
        }
    }

    fn list_nodes(&mut self) -> Watch {
        loop {
            let (entries, revision) = self.cluster.shelf.list(&Node::resource(), None);
            let listed: HashSet<&str> = entries.iter().map(|entry| &*entry.key.name).collect();
            for gone in self.snapshot.nodes_not_in(&listed) {
                self.snapshot.remove_node(&gone);
            }
            entries.iter().for_each(|entry| self.see_node(Some(entry), None));
            if let Ok(watch) = self.cluster.shelf.watch(&Node::resource(), revision) {
                return watch;
            }
        }
    }

    fn list_pods(&mut self) -> Watch {
        loop {
            let (entries, revision) = self.cluster.shelf.list(&Pod::resource(), None);
            let listed: HashSet<&Key> = entries.iter().map(|entry| &entry.key).collect();
            for gone in self.snapshot.pods_not_in(&listed).into_iter().chain(self.queue.not_in(&listed)) {
                self.snapshot.set_pod(&gone, None);
                self.queue.remove(&gone);
            }
            entries.iter().for_each(|entry| self.see_pod(Some(entry), None));
            if let Ok(watch) = self.cluster.shelf.watch(&Pod::resource(), revision) {
                return watch;
            }
        }
    }

    fn see_node(&mut self, now: Option<&Entry>, was: Option<&Entry>) {
        match (now, was) {
            (Some(now), _) => {
                if self.snapshot.set_node(now.view()) == Room::More {
                    self.queue.wake(Instant::now());
                }
            }
            (None, Some(was)) => self.snapshot.remove_node(&was.key.name),
            (None, None) => {}
        }
    }

    fn see_pod(&mut self, now: Option<&Entry>, was: Option<&Entry>) {
        let Some(key) = now.or(was).map(|entry| &entry.key) else { return };
        let pod = now.map(Entry::view::<Pod>);
        if self.snapshot.set_pod(key, pod.as_deref()) == Room::More {
            self.queue.wake(Instant::now());
        }
        match pod {
            Some(pod) if wants_a_place(&pod) => self.queue.set(key, pod),
            _ => self.queue.remove(key),
        }
    }

    fn place(&mut self, key: Key, pod: Arc<Pod>, now: Instant) {
        let candidate = Candidate::new(pod);
        match decide(&self.plugins, &candidate, self.snapshot.nodes()) {
            Decision::Place { node } => {
                let Candidate { pod, share, .. } = candidate;
                self.snapshot.assume(&key, &pod, &node, share);
                let write = bind(&pod, &node);
                self.write(key, pod, Some(node), write);
            }
            Decision::Unschedulable { message } => {
                let pod = candidate.pod;
                debug!(pod = %key, message, "no node will do");
                self.recorder.event(&about(&pod), Type::Warning, "FailedScheduling", &message);
                self.queue.park(&key, now);
                if let Some(write) = self.refuse(&pod, &message) {
                    self.write(key, pod, None, write);
                }
            }
        }
    }

    fn write(&mut self, key: Key, pod: Arc<Pod>, node: Option<Box<str>>, write: Write) {
        let (door, who) = (Arc::clone(&self.cluster.door), Arc::clone(&self.who));
        self.writes.spawn(async move {
            let answer = door.submit(&who, write).await.map(drop);
            Written { key, pod, node, answer }
        });
    }

    fn written(&mut self, Written { key, pod, node, answer }: Written) {
        match (node, answer) {
            (Some(node), Ok(())) => {
                debug!(pod = %key, %node, "bound");
                let message = format!("Successfully assigned {key} to {node}");
                self.recorder.event(&about(&pod), Type::Normal, "Scheduled", &message);
            }
            (Some(node), Err(status)) => {
                // Gone, or bound by somebody else: the change that says so is on its way, and if it is not, the pod is tried again.
                if !matches!(status.reason, Reason::NotFound | Reason::Conflict) {
                    warn!(pod = %key, %node, %status, "not bound; tries again");
                }
                self.snapshot.forget(&key);
                self.queue.delay(&key, Instant::now());
            }
            (None, Ok(())) => {}
            // The condition is written again with the next attempt.
            (None, Err(status)) => debug!(pod = %key, %status, "the condition was not written"),
        }
    }

    /// The condition that says why, unless it says so already.
    fn refuse(&self, pod: &Pod, message: &str) -> Option<Write> {
        let old = pod.condition("PodScheduled").filter(|old| &*old.status == "False");
        if old.is_some_and(|old| *old.message == *message && &*old.reason == "Unschedulable") {
            return None;
        }
        let second = self.cluster.clock.now().as_second();
        let now = jiff::Timestamp::from_second(second).expect("a moment without its fraction is a moment");
        let since = old.and_then(|old| old.last_transition_time).unwrap_or(now);
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": since});
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
        Some(write(pod, Verb::Patch(PatchType::Strategic), "status", &patch))
    }
}

/// Pods that are ours to place: without a node, not held by a gate, not on their way out.
fn wants_a_place(pod: &Pod) -> bool {
    let is_ours = pod.spec.scheduler_name.is_empty() || &*pod.spec.scheduler_name == NAME;
    let is_bound = pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty());
    is_ours && !is_bound && pod.is_live() && pod.spec.scheduling_gates.is_empty()
}

fn bind(pod: &Pod, node: &str) -> Write {
    let meta = &pod.metadata;
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    write(pod, Verb::Create, "binding", &binding)
}

fn write(pod: &Pod, verb: Verb, subresource: &str, body: &serde_json::Value) -> Write {
    Write {
        verb,
        target: Target { resource: Pod::resource(), version: None, key: pod.metadata.key(), subresource: Some(subresource.into()) },
        body: Bytes::from(serde_json::to_vec(body).expect("a Value is JSON")),
        options: Options::default(),
    }
}

fn about(pod: &Pod) -> ObjectRef {
    let meta = &pod.metadata;
    ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectRef::default()
    }
}

#[cfg(test)]
mod tests;
