//! `replicaset-controller`: keeps the number of a ReplicaSet's pods at `spec.replicas`.
mod victims;

use crate::{
    conditions::{self, count},
    ownership::{Controlling, release},
};
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{
    Entry, Shelf, View,
    views::{Condition, Pod, ReplicaSet, ReplicaSetStatus},
};
use knarr_machinery::{Key, LabelSelector};
use knarr_reconcile::{Action, Change, Controller, Deletion, Failure, Object, Pace, Plan, Said, Source, owner};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Most pods created or deleted in one pass, as upstream has it: other sets get their turn in between.
const BURST: usize = 500;
const KIND: Controlling = Controlling { api_version: "apps/v1", kind: "ReplicaSet" };
const REPLICA_FAILURE: &str = "ReplicaFailure";

pub struct ReplicaSets;

pub struct Look {
    set: Arc<ReplicaSet>,
    selector: LabelSelector,
    /// All that it controls, ended and leaving ones too.
    pods: Vec<Arc<Pod>>,
    /// Pods that match and that nobody controls.
    orphans: Vec<Arc<Entry>>,
    /// Pods that it controls and that match no longer.
    strays: Vec<Arc<Entry>>,
    /// Pods of all sets of the same Deployment.
    related: Vec<Arc<Pod>>,
}

impl Controller for ReplicaSets {
    const NAME: &'static str = "replicaset-controller";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::itself::<ReplicaSet>(), Source::by(Pod::resource(), sets_of_pod)]
    }

    /// Statuses are counts: under a burst of a thousand pods they are written ten times a second, not a thousand times.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { first: Duration::from_millis(2), most: Duration::from_millis(100) })
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let set = shelf.view::<ReplicaSet>(key)?;
        let selector = selector(&set)?;
        let mut look = Look { pods: vec![], orphans: vec![], strays: vec![], related: related(shelf, &set), selector, set };
        for entry in shelf.list(&Pod::resource(), Some(&key.namespace)).0 {
            match entry.meta.controller() {
                Some(controller) if controller.uid == look.set.metadata.uid => {
                    if !look.selector.matches(&entry.meta.labels) {
                        look.strays.push(Arc::clone(&entry));
                    }
                    look.pods.push(entry.view());
                }
                None if look.selector.matches(&entry.meta.labels) && entry.view::<Pod>().is_live() => look.orphans.push(entry),
                _ => {}
            }
        }
        Some(look)
    }

    fn reconcile(&self, look: &Look, now: Timestamp) -> Plan {
        let Look { set, pods, .. } = look;
        let live: Vec<&Pod> = pods.iter().map(|pod| &**pod).filter(|pod| pod.is_live()).collect();
        let mut plan = Plan::nothing();
        if !set.metadata.is_deleting() {
            plan = plan.extend(claims(look));
            if plan.actions.is_empty() {
                plan = plan.extend(corrections(look, &live));
            }
        }
        // Pods that were just made or told to go wake this loop again, and that pass counts them.
        if plan.actions.is_empty() {
            let conditions = if live.len() == wanted(set) {
                conditions::without(&set.status.conditions, REPLICA_FAILURE)
            } else {
                set.status.conditions.clone()
            };
            plan = plan.extend(write_status(look, ReplicaSetStatus { conditions, ..counted(look, now) }));
        }
        match available_next(set, &live, now) {
            Some(moment) => plan.again_at(moment, now),
            None => plan,
        }
    }

    fn failed(&self, look: &Look, failures: &[Failure], now: Timestamp) -> Plan {
        let Some(first) = failures.first() else { return Plan::nothing() };
        let reason = match first.action {
            Action::Create { .. } => "FailedCreate",
            Action::Delete { .. } => "FailedDelete",
            _ => return Plan::nothing(),
        };
        // The first message stays: each refusal names another pod, and a status that changes with each would wake this loop each time.
        let is_said = |condition: &Condition| &*condition.kind == REPLICA_FAILURE && &*condition.reason == reason;
        let conditions = match look.set.status.conditions.iter().any(is_said) {
            true => look.set.status.conditions.clone(),
            false => conditions::set(&look.set.status.conditions, REPLICA_FAILURE, "True", reason, &first.status.message, now),
        };
        Plan::nothing().extend(write_status(look, ReplicaSetStatus { conditions, ..counted(look, now) }))
    }
}

/// The sets that a pod concerns: its owner, the owner it had, and for an orphan those that it matches.
fn sets_of_pod(shelf: &Shelf, change: Change<'_>) -> Vec<Key> {
    let mut keys: Vec<_> = change.states().filter_map(|entry| owner(entry, KIND.kind)).collect();
    if let Some(orphan) = change.now.filter(|entry| entry.meta.controller().is_none() && !entry.meta.labels.is_empty()) {
        let sets = shelf.views::<ReplicaSet>(Some(&orphan.key.namespace));
        let matching = sets.iter().filter(|set| selector(set).is_some_and(|selector| selector.matches(&orphan.meta.labels)));
        keys.extend(matching.map(|set| set.metadata.key()));
    }
    keys
}

/// Pods of the sets that share the Deployment; for a set on its own, none: its pods alone count then.
fn related(shelf: &Shelf, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let Some(controller) = set.metadata.controller() else { return vec![] };
    shelf.owned_by::<ReplicaSet>(&controller.uid).iter().flat_map(|sibling| shelf.owned_by::<Pod>(&sibling.metadata.uid)).collect()
}

/// A selector that selects everything is refused by the server; if one is here nevertheless, it claims nothing.
fn selector(set: &ReplicaSet) -> Option<LabelSelector> {
    let selector: LabelSelector = serde_json::from_str(set.spec.selector.as_ref()?.get()).ok()?;
    (!selector.is_empty()).then_some(selector)
}

fn wanted(set: &ReplicaSet) -> usize {
    usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0)
}

/// Takes over what matches, lets go what does not.
fn claims(look: &Look) -> Vec<Action> {
    let meta = &look.set.metadata;
    let adopted = look.orphans.iter().map(|orphan| KIND.adopt::<Pod>(meta, orphan));
    adopted.chain(look.strays.iter().map(|stray| release::<Pod>(meta, stray))).collect()
}

fn corrections(look: &Look, live: &[&Pod]) -> Vec<Action> {
    let want = wanted(&look.set);
    if live.len() < want {
        let pod = new_pod(&look.set);
        let said = Said {
            about: KIND.object_ref(&look.set.metadata),
            done: ("SuccessfulCreate", "Created pod: "),
            failed: ("FailedCreate", "Error creating: "),
        };
        let create = Action::Create { resource: Pod::resource(), object: pod, say: Some(said) };
        return vec![create; (want - live.len()).min(BURST)];
    }
    let said = Said {
        about: KIND.object_ref(&look.set.metadata),
        done: ("SuccessfulDelete", "Deleted pod: "),
        failed: ("FailedDelete", "Error deleting: "),
    };
    let delete = |pod: &Pod| Action::Delete { of: Object::of(pod), how: Deletion::default(), say: Some(said.clone()) };
    let surplus = (live.len() - want).min(BURST);
    if surplus == 0 { vec![] } else { victims::least_useful_first(live, &look.related).into_iter().take(surplus).map(delete).collect() }
}

fn new_pod(set: &ReplicaSet) -> Value {
    let template: Value = set.spec.template.as_ref().and_then(|template| serde_json::from_str(template.get()).ok()).unwrap_or_default();
    let mut metadata = json!({
        "namespace": set.metadata.namespace,
        "generateName": format!("{}-", set.metadata.name),
        "ownerReferences": [KIND.reference(&set.metadata)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// The counts as they are now, conditions aside.
fn counted(look: &Look, now: Timestamp) -> ReplicaSetStatus {
    let live = || look.pods.iter().filter(|pod| pod.is_live());
    let labels = template_labels(&look.set);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    ReplicaSetStatus {
        observed_generation: look.set.metadata.generation,
        replicas: number(live().count()),
        fully_labeled_replicas: number(
            live()
                .filter(|pod| labels.iter().all(|(key, value)| pod.metadata.labels.get(&**key).is_some_and(|has| **has == **value)))
                .count(),
        ),
        ready_replicas: number(live().filter(|pod| pod.is_ready()).count()),
        available_replicas: number(live().filter(|pod| available_at(&look.set, pod).is_some_and(|at| at <= now)).count()),
        terminating_replicas: Some(number(look.pods.iter().filter(|pod| pod.metadata.is_deleting() && !pod.is_terminal()).count())),
        ..ReplicaSetStatus::default()
    }
}

fn template_labels(set: &ReplicaSet) -> std::collections::BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Template {
        metadata: Labels,
    }
    #[derive(serde::Deserialize)]
    struct Labels {
        #[serde(default)]
        labels: std::collections::BTreeMap<String, String>,
    }
    let read = |template: &serde_json::value::RawValue| serde_json::from_str::<Template>(template.get()).ok();
    set.spec.template.as_deref().and_then(read).map(|template| template.metadata.labels).unwrap_or_default()
}

fn write_status(look: &Look, status: ReplicaSetStatus) -> Option<Action> {
    if status == look.set.status {
        return None;
    }
    let patch = json!({"status": {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "fullyLabeledReplicas": count(status.fully_labeled_replicas),
        "readyReplicas": count(status.ready_replicas),
        "availableReplicas": count(status.available_replicas),
        "terminatingReplicas": status.terminating_replicas,
        "conditions": if status.conditions.is_empty() { Value::Null } else { conditions::to_json(&status.conditions, false) },
    }});
    Some(Action::Status { of: Object::of(&*look.set), patch })
}

/// When a ready pod has been ready for long enough.
fn available_at(set: &ReplicaSet, pod: &Pod) -> Option<Timestamp> {
    let ready = pod.condition("Ready").filter(|ready| &*ready.status == "True")?;
    let minimum = SignedDuration::from_secs(i64::from(set.spec.min_ready_seconds));
    if minimum.is_zero() {
        return Some(Timestamp::MIN);
    }
    ready.last_transition_time?.checked_add(minimum).ok()
}

/// The next moment at which a ready pod becomes an available one.
fn available_next(set: &ReplicaSet, live: &[&Pod], now: Timestamp) -> Option<Timestamp> {
    live.iter().filter_map(|pod| available_at(set, pod)).filter(|at| *at > now).min()
}

#[cfg(test)]
mod tests;
