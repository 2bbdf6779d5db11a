//! What of a Pod's specification may change after it was made.
use crate::field::{self, Wrong};
use k8s_openapi::api::core::v1::{Container, PodSpec, Toleration};
use knarr_machinery::FieldError;

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn check(new: &PodSpec, old: &PodSpec, wrong: &mut Wrong) {
    let count = |list: &Option<Vec<Container>>| list.as_ref().map_or(0, Vec::len);
    for (path, same) in [
        ("spec.containers", new.containers.len() == old.containers.len()),
        ("spec.initContainers", count(&new.init_containers) == count(&old.init_containers)),
    ] {
        if !same {
            wrong.push(FieldError::forbidden(path, "pod updates may not add or remove containers"));
            return;
        }
    }
    check_deadline(new, old, wrong);
    let before = wrong.len();
    check_gates(new, old, wrong);
    check_tolerations(new, old, wrong);
    let gated = old.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    if gated {
        check_node_selector(new, old, wrong);
    }
    if wrong.len() == before && with_mutable_of(new, old, gated) != *old {
        wrong.push(FieldError::forbidden("spec", FIXED));
    }
}

/// The new specification with the old one's value in every field that may change.
fn with_mutable_of(new: &PodSpec, old: &PodSpec, gated: bool) -> PodSpec {
    let mut masked = new.clone();
    let images = |containers: &mut [Container], old: &[Container]| {
        for (container, old) in containers.iter_mut().zip(old) {
            container.image.clone_from(&old.image);
        }
    };
    images(&mut masked.containers, &old.containers);
    images(masked.init_containers.as_deref_mut().unwrap_or_default(), old.init_containers.as_deref().unwrap_or_default());
    masked.active_deadline_seconds = old.active_deadline_seconds;
    masked.scheduling_gates.clone_from(&old.scheduling_gates);
    masked.tolerations.clone_from(&old.tolerations);
    if gated {
        masked.node_selector.clone_from(&old.node_selector);
    }
    if new.termination_grace_period_seconds == Some(1) && old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        masked.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    masked
}

/// A deadline may be set and shortened.
fn check_deadline(new: &PodSpec, old: &PodSpec, wrong: &mut Wrong) {
    let path = "spec.activeDeadlineSeconds";
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), Some(old)) if new > old => {
            wrong.push(FieldError::invalid(path, new, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            wrong.push(FieldError::invalid(path, serde_json::Value::Null, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
}

fn check_gates(new: &PodSpec, old: &PodSpec, wrong: &mut Wrong) {
    let known: Vec<_> = old.scheduling_gates.iter().flatten().map(|gate| &gate.name).collect();
    for (at, gate) in new.scheduling_gates.iter().flatten().enumerate().filter(|(_, gate)| !known.contains(&&gate.name)) {
        let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
        wrong.push(FieldError::forbidden(format!("spec.schedulingGates[{at}].name"), detail));
    }
}

/// Tolerations may be added; of an old one only the seconds may change.
fn check_tolerations(new: &PodSpec, old: &PodSpec, wrong: &mut Wrong) {
    let untimed = |toleration: &Toleration| Toleration { toleration_seconds: None, ..toleration.clone() };
    let kept = |old: &Toleration| new.tolerations.iter().flatten().any(|new| untimed(new) == untimed(old));
    if !old.tolerations.iter().flatten().all(kept) {
        wrong.push(FieldError::forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
    }
}

/// A pod that waits at a gate may be narrowed further.
fn check_node_selector(new: &PodSpec, old: &PodSpec, wrong: &mut Wrong) {
    let has = |key: &String, value: &String| new.node_selector.as_ref().is_some_and(|labels| labels.get(key) == Some(value));
    if !old.node_selector.iter().flatten().all(|(key, value)| has(key, value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        wrong.push(FieldError::invalid("spec.nodeSelector", field::json(&new.node_selector), detail));
    }
}
