//! What a Deployment remembers in annotations: revisions, sizes, and how many old ReplicaSets stay for `kubectl rollout undo`.
use super::{
    Look,
    sets::{Rollout, size},
};
use knarr_cluster::views::{Deployment, ReplicaSet};
use knarr_machinery::Meta;
use knarr_reconcile::{Action, Object};
use serde_json::{Map, Value, json};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MOST: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A set has these of its own.
const NOT_INHERITED: [&str; 5] = [LAST_APPLIED, REVISION, HISTORY, DESIRED, MOST];
/// Old sets that are kept where nothing is said.
const DEFAULT_LIMIT: i32 = 10;

pub(super) fn revision(meta: &Meta) -> i64 {
    meta.annotations.get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

/// The Deployment's annotations that its new ReplicaSet gets.
pub(super) fn inherited(deployment: &Deployment) -> Map<String, Value> {
    let annotations = deployment.metadata.annotations.iter();
    annotations.filter(|(key, _)| !NOT_INHERITED.contains(&&***key)).map(|(key, value)| (key.to_string(), json!(value))).collect()
}

/// Brings the newest set's revision, annotations and `minReadySeconds` up to date. A set that is in use again gets a new revision and
/// remembers the old one.
pub(super) fn update(rollout: &Rollout<'_>, new: &ReplicaSet) -> Option<Action> {
    let has = &new.metadata.annotations;
    let mut annotations = inherited(rollout.deployment);
    let (was, next) = (revision(&new.metadata), rollout.next_revision());
    if was < next {
        annotations.insert(REVISION.into(), json!(next.to_string()));
        if was > 0 {
            let past = has.get(HISTORY).map_or_else(|| was.to_string(), |past| format!("{past},{was}"));
            annotations.insert(HISTORY.into(), json!(past));
        }
    }
    annotations.retain(|key, value| has.get(&**key).map(|has| &**has) != value.as_str());
    let minimum = rollout.deployment.spec.min_ready_seconds;
    let mut patch = json!({});
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = annotations.into();
    }
    if new.spec.min_ready_seconds != minimum {
        patch["spec"]["minReadySeconds"] = json!(minimum);
    }
    (patch != json!({})).then(|| Action::Patch { of: Object::of(new), patch, revision: None })
}

/// Writes the newest set's revision on the Deployment, where `kubectl rollout history` looks for it.
pub(super) fn note_revision(rollout: &Rollout<'_>) -> Option<Action> {
    let revision = revision(&rollout.new?.metadata).max(rollout.next_revision()).to_string();
    let has = rollout.deployment.metadata.annotations.get(REVISION);
    let patch = json!({"metadata": {"annotations": {REVISION: revision}}});
    (has.map(|has| &**has) != Some(&*revision)).then(|| Action::Patch { of: Object::of(rollout.deployment), patch, revision: None })
}

/// Once a rollout is through, or paused, old sets beyond the limit go: those of the lowest revisions, and only empty ones.
pub(super) fn clean_up(look: &Look, rollout: &Rollout<'_>) -> Vec<Action> {
    if !(super::status::is_complete(rollout) || look.deployment.spec.paused) {
        return vec![];
    }
    let limit = usize::try_from(look.deployment.spec.revision_history_limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX);
    let mut old: Vec<_> = rollout.old.iter().filter(|set| !set.metadata.is_deleting()).collect();
    old.sort_by_key(|set| revision(&set.metadata));
    let is_empty =
        |set: &ReplicaSet| size(set) == 0 && set.status.replicas == 0 && set.status.observed_generation >= set.metadata.generation;
    let surplus = old.len().saturating_sub(limit);
    old.into_iter().take(surplus).filter(|set| is_empty(set)).map(|set| Action::delete(Object::of(*set))).collect()
}
