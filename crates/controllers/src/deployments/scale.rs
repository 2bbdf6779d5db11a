//! The sizes of a Deployment's ReplicaSets: rolling over, starting anew, and scaling what is there in proportion.
use super::{
    KIND, history,
    sets::{Rollout, size},
};
use knarr_cluster::{Type, views::ReplicaSet};
use knarr_reconcile::{Action, Object};
use serde_json::json;

/// `spec.replicas` changed since the sets were sized. They remember what was wanted then.
pub(super) fn is_asked_for(rollout: &Rollout<'_>) -> bool {
    let remembered = |set: &ReplicaSet| set.metadata.annotations.get(history::DESIRED).and_then(|wanted| wanted.parse::<i32>().ok());
    rollout.all().filter(|set| size(set) > 0).any(|set| remembered(set).is_some_and(|wanted| wanted != rollout.replicas))
}

/// One step of a rolling update: the new set grows as far as the surge allows, or else old sets shrink as far as availability allows.
pub(super) fn roll(rollout: &Rollout<'_>) -> Vec<Action> {
    let grown = grow(rollout);
    if grown.is_empty() { shrink(rollout) } else { grown }
}

/// Old pods all go before the first new one comes. `running_old` counts those that are still there in any way.
pub(super) fn recreate(rollout: &Rollout<'_>, running_old: usize) -> Vec<Action> {
    let stopped: Vec<_> = rollout.old.iter().filter(|set| size(set) > 0).flat_map(|set| resize(rollout, set, 0)).collect();
    if !stopped.is_empty() {
        return stopped;
    }
    if running_old > 0 { vec![] } else { grow(rollout) }
}

/// The size of the new set: all where there is no surge to keep to, else what the others leave room for.
fn grow(rollout: &Rollout<'_>) -> Vec<Action> {
    let has = rollout.new.map_or(0, size);
    let room = rollout.most() - rollout.asked_for();
    let want = match has.cmp(&rollout.replicas) {
        std::cmp::Ordering::Greater => rollout.replicas,
        std::cmp::Ordering::Equal => has,
        std::cmp::Ordering::Less if rollout.is_recreate() => rollout.replicas,
        std::cmp::Ordering::Less => has + room.clamp(0, rollout.replicas - has),
    };
    match rollout.new {
        Some(new) if want == has => refresh(rollout, new).into_iter().collect(),
        Some(new) => resize(rollout, new, want),
        None => {
            let create = rollout.create(want);
            let Action::Create { object, .. } = &create else { return vec![create] };
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let said = (want > 0).then(|| say(rollout, &name, 0, want));
            [create].into_iter().chain(said).collect()
        }
    }
}

fn shrink(rollout: &Rollout<'_>) -> Vec<Action> {
    let least_available = rollout.replicas - rollout.unavailable;
    let new_unavailable = rollout.new.map_or(0, |new| size(new) - new.status.available_replicas);
    let spare = rollout.asked_for() - least_available - new_unavailable;
    if spare <= 0 || rollout.old.iter().all(|set| size(set) == 0) {
        return vec![];
    }
    // First the pods of old sets that are of no use to anybody, then available ones as far as enough remain.
    let mut sizes: Vec<_> = rollout.old.iter().map(|set| (*set, size(set))).collect();
    let mut left = spare;
    for (set, size) in &mut sizes {
        let useless = (*size - set.status.available_replicas).clamp(0, left);
        *size -= useless;
        left -= useless;
    }
    let available: i32 = rollout.all().map(|set| set.status.available_replicas).sum();
    let mut left = available - least_available;
    for (_, size) in &mut sizes {
        let fewer = (*size).min(left).max(0);
        *size -= fewer;
        left -= fewer;
    }
    sizes.into_iter().filter(|(set, to)| *to != size(set)).flat_map(|(set, to)| resize(rollout, set, to)).collect()
}

/// Sizes what is there without rolling on: one set alone takes all, several share the change by their sizes.
pub(super) fn proportionally(rollout: &Rollout<'_>) -> Vec<Action> {
    let active: Vec<_> = rollout.all().filter(|set| size(set) > 0).collect();
    let newest = rollout.new.or_else(|| rollout.old.last().copied());
    if let [only] = active[..] {
        return resize(rollout, only, rollout.replicas);
    }
    if active.is_empty() {
        return newest.map(|newest| resize(rollout, newest, rollout.replicas)).unwrap_or_default();
    }
    let is_through = rollout.new.is_some_and(|new| size(new) == rollout.replicas && new.status.available_replicas == rollout.replicas);
    if is_through || rollout.is_recreate() {
        let rest = active.into_iter().filter(|set| rollout.new.is_none_or(|new| new.metadata.uid != set.metadata.uid));
        return rest.flat_map(|set| resize(rollout, set, 0)).collect();
    }
    shared(rollout, active)
}

/// The largest set first; of equals the newer one when growing, the older when shrinking. What rounding leaves goes to the first.
fn shared(rollout: &Rollout<'_>, mut active: Vec<&ReplicaSet>) -> Vec<Action> {
    let change = rollout.most() - active.iter().map(|set| size(set)).sum::<i32>();
    active.sort_by(|a, b| {
        let by_age = a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp);
        size(b).cmp(&size(a)).then(if change > 0 { by_age.reverse() } else { by_age })
    });
    let mut left = change;
    let mut sizes = Vec::with_capacity(active.len());
    for set in active {
        let part = part(rollout, set).clamp(left.min(0), left.max(0));
        sizes.push((set, size(set) + part));
        left -= part;
    }
    if let Some((_, first)) = sizes.first_mut() {
        *first = (*first + left).max(0);
    }
    sizes.into_iter().flat_map(|(set, to)| resize(rollout, set, to)).collect()
}

/// By how much a set changes when the most that is allowed changes from what it remembers, rounded to the nearest.
fn part(rollout: &Rollout<'_>, set: &ReplicaSet) -> i32 {
    let remembered = set.metadata.annotations.get(history::MOST).and_then(|most| most.parse::<i64>().ok()).filter(|most| *most > 0);
    let before = remembered.unwrap_or_else(|| i64::from(rollout.deployment.status.replicas).max(1));
    let has = i64::from(size(set));
    let now = (2 * has * i64::from(rollout.most()) + before) / (2 * before);
    i32::try_from(now - has).unwrap_or(0)
}

/// Writes a set's size and what its Deployment wants, and says so if the size changes.
fn resize(rollout: &Rollout<'_>, set: &ReplicaSet, to: i32) -> Vec<Action> {
    let from = size(set);
    if from == to {
        return refresh(rollout, set).into_iter().collect();
    }
    let patch = json!({"spec": {"replicas": to}, "metadata": {"annotations": annotations(rollout)}});
    vec![Action::Patch { of: Object::of(set), patch, revision: None }, say(rollout, &set.metadata.name, from, to)]
}

/// A set that keeps its size still remembers what its Deployment wants now.
fn refresh(rollout: &Rollout<'_>, set: &ReplicaSet) -> Option<Action> {
    let has = &set.metadata.annotations;
    let is_right = rollout.size_annotations().iter().all(|(key, value)| has.get(*key).is_some_and(|has| **has == **value));
    let patch = json!({"metadata": {"annotations": annotations(rollout)}});
    (!is_right).then(|| Action::Patch { of: Object::of(set), patch, revision: None })
}

fn annotations(rollout: &Rollout<'_>) -> serde_json::Value {
    rollout.size_annotations().into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

fn say(rollout: &Rollout<'_>, set: &str, from: i32, to: i32) -> Action {
    let direction = if to > from { "up" } else { "down" };
    Action::Event {
        about: KIND.object_ref(&rollout.deployment.metadata),
        kind: Type::Normal,
        reason: "ScalingReplicaSet",
        message: format!("Scaled {direction} replica set {set} from {from} to {to}"),
    }
}
