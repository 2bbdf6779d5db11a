//! What a pod tells the scheduler besides affinity: tolerations, spreading, gates.
use super::affinity::check_selector;
use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{PodSpec, Toleration, TopologySpreadConstraint};
use knarr_machinery::{FieldError, names};
use std::collections::BTreeSet;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn check(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    for (at, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        field::named(wrong, &format!("{path}.readinessGates[{at}].conditionType"), &gate.condition_type, names::is_qualified_name);
    }
    let mut seen = BTreeSet::new();
    for (at, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = format!("{path}.schedulingGates[{at}]");
        field::named(wrong, &path, &gate.name, names::is_qualified_name);
        if !seen.insert(&gate.name) {
            wrong.push(FieldError::duplicate(path, &*gate.name));
        }
    }
    if !seen.is_empty() && !text(&spec.node_name).is_empty() {
        wrong.push(FieldError::forbidden(format!("{path}.nodeName"), "cannot be set until all schedulingGates have been cleared"));
    }
    check_spreading(spec.topology_spread_constraints.as_deref().unwrap_or_default(), &format!("{path}.topologySpreadConstraints"), wrong);
    check_tolerations(spec.tolerations.as_deref().unwrap_or_default(), &format!("{path}.tolerations"), wrong);
}

fn check_spreading(constraints: &[TopologySpreadConstraint], path: &str, wrong: &mut Wrong) {
    for (at, constraint) in constraints.iter().enumerate() {
        let path = format!("{path}[{at}]");
        if constraint.max_skew <= 0 {
            wrong.push(FieldError::invalid(format!("{path}.maxSkew"), constraint.max_skew, "must be greater than zero"));
        }
        if constraint.topology_key.is_empty() {
            wrong.push(FieldError::required(format!("{path}.topologyKey"), "can not be empty"));
        }
        field::one_of(wrong, &format!("{path}.whenUnsatisfiable"), &constraint.when_unsatisfiable, &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |other: &TopologySpreadConstraint| {
            other.topology_key == constraint.topology_key && other.when_unsatisfiable == constraint.when_unsatisfiable
        };
        if constraints[at + 1..].iter().any(same) {
            let pair = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
            wrong.push(FieldError::duplicate(format!("{path}.{{topologyKey, whenUnsatisfiable}}"), pair));
        }
        if let Some(count) = constraint.min_domains.filter(|count| *count <= 0) {
            wrong.push(FieldError::invalid(format!("{path}.minDomains"), count, "must be greater than zero"));
        }
        check_selector(constraint.label_selector.as_ref(), &format!("{path}.labelSelector"), wrong);
    }
}

pub(crate) fn check_tolerations(tolerations: &[Toleration], path: &str, wrong: &mut Wrong) {
    for (at, toleration) in tolerations.iter().enumerate() {
        check_toleration(toleration, &format!("{path}[{at}]"), wrong);
    }
}

fn check_toleration(toleration: &Toleration, path: &str, wrong: &mut Wrong) {
    let [key, operator, value, effect] = [&toleration.key, &toleration.operator, &toleration.value, &toleration.effect].map(text);
    if !key.is_empty() {
        field::named(wrong, &format!("{path}.key"), key, names::is_qualified_name);
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        wrong.push(FieldError::invalid(format!("{path}.operator"), operator, detail));
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        wrong.push(FieldError::invalid(format!("{path}.effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    let at = format!("{path}.operator");
    match operator {
        "" | "Equal" => field::named(wrong, &at, value, names::is_label_value),
        "Exists" if !value.is_empty() => {
            wrong.push(FieldError::invalid(at, value, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        other => wrong.push(FieldError::not_supported(at, other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        field::one_of(wrong, &format!("{path}.effect"), effect, EFFECTS);
    }
}
