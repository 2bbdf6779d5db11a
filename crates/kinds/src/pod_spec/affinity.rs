//! Where a pod wants to be: affinity to nodes and to other pods.
use crate::field::{self, Wrong};
use k8s_openapi::{
    api::core::v1::{Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, WeightedPodAffinityTerm},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use knarr_machinery::{FieldError, names};

const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(affinity: &Affinity, path: &str, wrong: &mut Wrong) {
    if let Some(node) = &affinity.node_affinity {
        let path = format!("{path}.nodeAffinity");
        if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
            let path = format!("{path}.{REQUIRED}.nodeSelectorTerms");
            if required.node_selector_terms.is_empty() {
                wrong.push(FieldError::required(&path, "must have at least one node selector term"));
            }
            for (at, term) in required.node_selector_terms.iter().enumerate() {
                check_node_term(term, &format!("{path}[{at}]"), wrong);
            }
        }
        for (at, term) in node.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
            let path = format!("{path}.{PREFERRED}[{at}]");
            check_weight(term.weight, &path, wrong);
            check_node_term(&term.preference, &format!("{path}.preference"), wrong);
        }
    }
    if let Some(pods) = &affinity.pod_affinity {
        let (required, preferred) =
            (&pods.required_during_scheduling_ignored_during_execution, &pods.preferred_during_scheduling_ignored_during_execution);
        check_pods(required.as_deref(), preferred.as_deref(), &format!("{path}.podAffinity"), wrong);
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let (required, preferred) =
            (&pods.required_during_scheduling_ignored_during_execution, &pods.preferred_during_scheduling_ignored_during_execution);
        check_pods(required.as_deref(), preferred.as_deref(), &format!("{path}.podAntiAffinity"), wrong);
    }
}

fn check_weight(weight: i32, path: &str, wrong: &mut Wrong) {
    if !(1..=100).contains(&weight) {
        wrong.push(FieldError::invalid(format!("{path}.weight"), weight, "must be in the range 1-100"));
    }
}

fn check_node_term(term: &NodeSelectorTerm, path: &str, wrong: &mut Wrong) {
    for (at, requirement) in term.match_expressions.iter().flatten().enumerate() {
        check_requirement(requirement, &format!("{path}.matchExpressions[{at}]"), wrong);
    }
    for (at, requirement) in term.match_fields.iter().flatten().enumerate() {
        let path = format!("{path}.matchFields[{at}]");
        if requirement.values.as_ref().map_or(0, Vec::len) != 1 && matches!(&*requirement.operator, "In" | "NotIn") {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            wrong.push(FieldError::required(format!("{path}.values"), detail));
        } else if !matches!(&*requirement.operator, "In" | "NotIn") {
            wrong.push(FieldError::invalid(format!("{path}.operator"), &*requirement.operator, "not a valid selector operator"));
        }
        if requirement.key != "metadata.name" {
            wrong.push(FieldError::invalid(format!("{path}.key"), &*requirement.key, "not a valid field selector key"));
        }
    }
}

fn check_requirement(requirement: &NodeSelectorRequirement, path: &str, wrong: &mut Wrong) {
    let values = requirement.values.as_ref().map_or(0, Vec::len);
    let at = format!("{path}.values");
    match &*requirement.operator {
        "In" | "NotIn" if values == 0 => wrong.push(FieldError::required(at, "must be specified when `operator` is 'In' or 'NotIn'")),
        "Exists" | "DoesNotExist" if values > 0 => {
            wrong.push(FieldError::forbidden(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Gt" | "Lt" if values != 1 => {
            wrong.push(FieldError::required(at, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => wrong.push(FieldError::invalid(format!("{path}.operator"), other, "not a valid selector operator")),
    }
    field::named(wrong, &format!("{path}.key"), &requirement.key, names::is_qualified_name);
}

fn check_pods(required: Option<&[PodAffinityTerm]>, preferred: Option<&[WeightedPodAffinityTerm]>, path: &str, wrong: &mut Wrong) {
    for (at, term) in required.unwrap_or_default().iter().enumerate() {
        check_pod_term(term, &format!("{path}.{REQUIRED}[{at}]"), wrong);
    }
    for (at, term) in preferred.unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.{PREFERRED}[{at}]");
        check_weight(term.weight, &path, wrong);
        check_pod_term(&term.pod_affinity_term, &format!("{path}.podAffinityTerm"), wrong);
    }
}

fn check_pod_term(term: &PodAffinityTerm, path: &str, wrong: &mut Wrong) {
    check_selector(term.label_selector.as_ref(), &format!("{path}.labelSelector"), wrong);
    check_selector(term.namespace_selector.as_ref(), &format!("{path}.namespaceSelector"), wrong);
    for (at, name) in term.namespaces.iter().flatten().enumerate() {
        field::named(wrong, &format!("{path}.namespaces[{at}]"), name, names::is_dns_label);
    }
    let path = format!("{path}.topologyKey");
    if term.topology_key.is_empty() {
        wrong.push(FieldError::required(path, "can not be empty"));
    } else {
        field::named(wrong, &path, &term.topology_key, names::is_qualified_name);
    }
}

pub(super) fn check_selector(selector: Option<&LabelSelector>, path: &str, wrong: &mut Wrong) {
    if let Some(selector) = selector {
        wrong.extend(crate::selector::ours(selector).check(path));
    }
}
