//! A Deployment's status: what its ReplicaSets count, and whether the rollout gets on.
use super::sets::{Rollout, size};
use crate::conditions::{self, count, whole_seconds};
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::views::{Condition, DeploymentStatus};
use knarr_reconcile::{Action, Object, Plan};
use serde_json::json;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const DONE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";
/// A deadline of this many seconds means none.
const NO_DEADLINE: i32 = i32::MAX;

/// Writes the status if it changed, and asks for a look at the deadline.
pub(super) fn write(rollout: &Rollout<'_>, now: Timestamp) -> Plan {
    let old = &rollout.deployment.status;
    let mut status = counted(rollout);
    status.conditions = conditions_now(rollout, &status, now);
    let plan = match deadline(rollout, &status).filter(|deadline| *deadline > now) {
        Some(deadline) => Plan::nothing().again_at(deadline, now),
        None => Plan::nothing(),
    };
    if status == *old {
        return plan;
    }
    let patch = json!({"status": {
        "observedGeneration": status.observed_generation,
        "replicas": count(status.replicas),
        "updatedReplicas": count(status.updated_replicas),
        "readyReplicas": count(status.ready_replicas),
        "availableReplicas": count(status.available_replicas),
        "unavailableReplicas": count(status.unavailable_replicas),
        "terminatingReplicas": status.terminating_replicas,
        "conditions": conditions::to_json(&status.conditions, true),
    }});
    plan.then(Action::Status { of: Object::of(rollout.deployment), patch })
}

/// All pods are of today's template, all are available, and no old one is left.
pub(super) fn is_complete(rollout: &Rollout<'_>) -> bool {
    is_complete_by(rollout, &counted(rollout))
}

fn is_complete_by(rollout: &Rollout<'_>, status: &DeploymentStatus) -> bool {
    let new_is_sized = rollout.new.is_some_and(|new| size(new) == rollout.replicas);
    new_is_sized
        && status.updated_replicas == rollout.replicas
        && status.replicas == rollout.replicas
        && status.available_replicas == rollout.replicas
}

fn counted(rollout: &Rollout<'_>) -> DeploymentStatus {
    let sum = |of: fn(&knarr_cluster::views::ReplicaSetStatus) -> i32| rollout.all().map(|set| of(&set.status)).sum::<i32>();
    let (replicas, available) = (sum(|status| status.replicas), sum(|status| status.available_replicas));
    DeploymentStatus {
        observed_generation: rollout.deployment.metadata.generation,
        replicas,
        updated_replicas: rollout.new.map_or(0, |new| new.status.replicas),
        ready_replicas: sum(|status| status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (replicas - available).max(0),
        terminating_replicas: Some(sum(|status| status.terminating_replicas.unwrap_or(0))),
        collision_count: rollout.deployment.status.collision_count,
        conditions: rollout.deployment.status.conditions.clone(),
    }
}

fn conditions_now(rollout: &Rollout<'_>, status: &DeploymentStatus, now: Timestamp) -> Box<[Condition]> {
    let is_available = status.available_replicas >= rollout.replicas - rollout.unavailable;
    let list = if is_available {
        conditions::set(&status.conditions, AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    } else {
        conditions::set(
            &status.conditions,
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            now,
        )
    };
    let list = if has_deadline(rollout) { progress(rollout, status, list, now) } else { conditions::without(&list, PROGRESSING) };
    match rollout.all().find_map(|set| set.status.conditions.iter().find(|condition| &*condition.kind == REPLICA_FAILURE)) {
        Some(failure) => conditions::set(&list, REPLICA_FAILURE, &failure.status, &failure.reason, &failure.message, now),
        None => conditions::without(&list, REPLICA_FAILURE),
    }
}

/// Whether the rollout is through, gets on, stands still or is held.
fn progress(rollout: &Rollout<'_>, status: &DeploymentStatus, list: Box<[Condition]>, now: Timestamp) -> Box<[Condition]> {
    let current = list.iter().find(|condition| &*condition.kind == PROGRESSING);
    let reason = current.map_or("", |current| &*current.reason);
    let set = |status: &str, reason: &str, message: &str| conditions::set(&list, PROGRESSING, status, reason, message, now);
    if rollout.deployment.spec.paused {
        return if reason == PAUSED { list } else { set("Unknown", PAUSED, "Deployment is paused") };
    }
    let what = match rollout.new {
        Some(new) => format!("ReplicaSet {:?}", &*new.metadata.name),
        None => format!("Deployment {:?}", &*rollout.deployment.metadata.name),
    };
    if is_complete_by(rollout, status) {
        return set("True", DONE, &format!("{what} has successfully progressed."));
    }
    if gets_on(&rollout.deployment.status, status) {
        let list = set("True", "ReplicaSetUpdated", &format!("{what} is progressing."));
        return touched(list, now);
    }
    let timed_out =
        current.is_some_and(|current| reason != DONE && since(current).is_some_and(|since| since + deadline_after(rollout) <= now));
    if reason == TIMED_OUT || timed_out {
        return set("False", TIMED_OUT, &format!("{what} has timed out progressing."));
    }
    match (reason, rollout.new) {
        (PAUSED, _) => set("Unknown", RESUMED, "Deployment is resumed"),
        ("", Some(_)) => {
            set("True", "NewReplicaSetCreated", &format!("Created new replica set {:?}", rollout.new.map_or("", |new| &new.metadata.name)))
        }
        // It was through with an older template.
        (DONE, Some(new)) if current.is_some_and(|current| !current.message.starts_with(&what)) => {
            set("True", "NewReplicaSetCreated", &format!("Created new replica set {:?}", &*new.metadata.name))
        }
        _ => list,
    }
}

/// More pods of the new template, fewer of the old, more ready or available ones than when the status was last written.
fn gets_on(was: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    now.updated_replicas > was.updated_replicas
        || now.replicas - now.updated_replicas < was.replicas - was.updated_replicas
        || now.ready_replicas > was.ready_replicas
        || now.available_replicas > was.available_replicas
}

/// Progress counts from now, even if the condition says the same as before.
fn touched(mut list: Box<[Condition]>, now: Timestamp) -> Box<[Condition]> {
    for condition in list.iter_mut().filter(|condition| &*condition.kind == PROGRESSING) {
        condition.last_update_time = Some(whole_seconds(now));
    }
    list
}

fn since(condition: &Condition) -> Option<Timestamp> {
    condition.last_update_time.or(condition.last_transition_time)
}

fn has_deadline(rollout: &Rollout<'_>) -> bool {
    rollout.deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != NO_DEADLINE)
}

fn deadline_after(rollout: &Rollout<'_>) -> SignedDuration {
    SignedDuration::from_secs(i64::from(rollout.deployment.spec.progress_deadline_seconds.unwrap_or(NO_DEADLINE)))
}

/// When a rollout that has not got on by then has failed.
fn deadline(rollout: &Rollout<'_>, status: &DeploymentStatus) -> Option<Timestamp> {
    let current = status.conditions.iter().find(|condition| &*condition.kind == PROGRESSING)?;
    let is_open = has_deadline(rollout) && ![DONE, TIMED_OUT, PAUSED].contains(&&*current.reason);
    is_open.then(|| since(current)?.checked_add(deadline_after(rollout)).ok())?
}
