//! `deployment-controller`: rolls a Deployment's template out over ReplicaSets.
//!
//! A pass takes one step and then waits for the ReplicaSets to answer: it looks at the sizes they have and the pods they say are available,
//! never at events. The status is written by a pass that finds no step to take, so a rollout costs one write a step.
mod history;
mod scale;
mod sets;
mod status;

use crate::ownership::{Controlling, release};
use jiff::Timestamp;
use knarr_cluster::{
    Entry, Shelf, View,
    views::{Deployment, Pod, ReplicaSet},
};
use knarr_machinery::{Key, LabelSelector, Reason};
use knarr_reconcile::{Action, Change, Controller, Failure, Object, Pace, Plan, Source, owner};
use sets::Rollout;
use std::{sync::Arc, time::Duration};

const KIND: Controlling = Controlling { api_version: "apps/v1", kind: "Deployment" };

pub struct Deployments;

pub struct Look {
    deployment: Arc<Deployment>,
    /// The ReplicaSets that it controls.
    sets: Vec<Arc<ReplicaSet>>,
    /// Sets that match and that nobody controls.
    orphans: Vec<Arc<Entry>>,
    /// Sets that it controls and that match no longer.
    strays: Vec<Arc<Entry>>,
    /// Pods of its sets that have not ended, leaving ones included, by the uid of their set.
    running: Vec<(Box<str>, usize)>,
}

impl Controller for Deployments {
    const NAME: &'static str = "deployment-controller";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![
            Source::itself::<Deployment>(),
            Source::by(ReplicaSet::resource(), deployments_of_set),
            Source::by(Pod::resource(), deployment_of_gone_pod),
        ]
    }

    /// Steps of a rollout follow each other as fast as ReplicaSets answer; a burst of counts is written ten times a second.
    fn pace(&self) -> Option<Pace> {
        Some(Pace { first: Duration::from_millis(2), most: Duration::from_millis(100) })
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let deployment = shelf.view::<Deployment>(key)?;
        let selector = selector(&deployment)?;
        let mut look = Look { deployment, sets: vec![], orphans: vec![], strays: vec![], running: vec![] };
        for entry in shelf.list(&ReplicaSet::resource(), Some(&key.namespace)).0 {
            let matches = selector.matches(&entry.meta.labels);
            match entry.meta.controller() {
                Some(controller) if controller.uid == look.deployment.metadata.uid => {
                    if !matches {
                        look.strays.push(Arc::clone(&entry));
                    }
                    let pods = shelf.owned_by::<Pod>(&entry.meta.uid);
                    look.running.push((entry.meta.uid.clone(), pods.iter().filter(|pod| !pod.is_terminal()).count()));
                    look.sets.push(entry.view());
                }
                None if matches && !entry.meta.is_deleting() => look.orphans.push(entry),
                _ => {}
            }
        }
        Some(look)
    }

    fn reconcile(&self, look: &Look, now: Timestamp) -> Plan {
        let rollout = Rollout::of(&look.deployment, &look.sets);
        if look.deployment.metadata.is_deleting() {
            return status::write(&rollout, now);
        }
        for step in [claims, prepare, resize, history::clean_up] {
            let actions = step(look, &rollout);
            if !actions.is_empty() {
                return Plan::nothing().extend(actions);
            }
        }
        status::write(&rollout, now)
    }

    /// Another set has the name that the template's hash gives: the next hash counts from one more.
    fn failed(&self, look: &Look, failures: &[Failure], _now: Timestamp) -> Plan {
        let collided =
            |failure: &Failure| matches!(failure.action, Action::Create { .. }) && failure.status.reason == Reason::AlreadyExists;
        if !failures.iter().any(collided) {
            return Plan::nothing();
        }
        let count = look.deployment.status.collision_count.unwrap_or(0) + 1;
        let patch = serde_json::json!({"status": {"collisionCount": count}});
        Plan::nothing().then(Action::Status { of: Object::of(&*look.deployment), patch })
    }
}

fn deployments_of_set(shelf: &Shelf, change: Change<'_>) -> Vec<Key> {
    let mut keys: Vec<_> = change.states().filter_map(|entry| owner(entry, KIND.kind)).collect();
    if let Some(orphan) = change.now.filter(|entry| entry.meta.controller().is_none() && !entry.meta.labels.is_empty()) {
        let deployments = shelf.views::<Deployment>(Some(&orphan.key.namespace));
        let matching =
            deployments.iter().filter(|deployment| selector(deployment).is_some_and(|selector| selector.matches(&orphan.meta.labels)));
        keys.extend(matching.map(|deployment| deployment.metadata.key()));
    }
    keys
}

/// `Recreate` waits for the last old pod to be gone, which the ReplicaSet's counts do not show.
fn deployment_of_gone_pod(shelf: &Shelf, change: Change<'_>) -> Vec<Key> {
    let ended = |entry: &Arc<Entry>| entry.view::<Pod>().is_terminal();
    if !(change.is_gone() || change.now.is_some_and(ended)) {
        return vec![];
    }
    let set = owner(change.object(), "ReplicaSet").and_then(|key| shelf.get(&ReplicaSet::resource(), &key));
    set.and_then(|set| owner(&set, KIND.kind)).into_iter().collect()
}

fn selector(deployment: &Deployment) -> Option<LabelSelector> {
    let selector: LabelSelector = serde_json::from_str(deployment.spec.selector.as_ref()?.get()).ok()?;
    (!selector.is_empty()).then_some(selector)
}

/// Takes over what matches, lets go what does not.
fn claims(look: &Look, _: &Rollout<'_>) -> Vec<Action> {
    let meta = &look.deployment.metadata;
    let adopted = look.orphans.iter().map(|orphan| KIND.adopt::<ReplicaSet>(meta, orphan));
    adopted.chain(look.strays.iter().map(|stray| release::<ReplicaSet>(meta, stray))).collect()
}

/// Brings revision and annotations of the newest set and of the Deployment up to date.
fn prepare(_: &Look, rollout: &Rollout<'_>) -> Vec<Action> {
    let current = rollout.new.and_then(|new| history::update(rollout, new));
    current.into_iter().chain(history::note_revision(rollout)).collect()
}

/// The next step of scaling and rolling out.
fn resize(look: &Look, rollout: &Rollout<'_>) -> Vec<Action> {
    if look.deployment.spec.paused || scale::is_asked_for(rollout) {
        return scale::proportionally(rollout);
    }
    if rollout.is_recreate() {
        let is_old = |uid: &str| rollout.new.is_none_or(|new| *new.metadata.uid != *uid);
        let running_old = look.running.iter().filter(|(uid, _)| is_old(uid)).map(|(_, pods)| pods).sum();
        return scale::recreate(rollout, running_old);
    }
    scale::roll(rollout)
}

#[cfg(test)]
mod tests;
