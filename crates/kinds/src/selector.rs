//! The label selectors of workloads: read as machinery's, and held against the labels of their template.
use crate::field::{self, Wrong};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use knarr_machinery::{FieldError, LabelSelector as Selector};
use std::collections::BTreeMap;

/// The same selector in the form that matches and checks.
pub(crate) fn ours(selector: &LabelSelector) -> Selector {
    serde_json::from_value(field::json(selector)).expect("both are the API's LabelSelector")
}

/// The selector of a workload: there, not empty, and true of the pods that the template makes.
pub(crate) fn check_workload(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>, wrong: &mut Wrong) {
    let at = "spec.selector";
    let ours = ours(selector);
    let before = wrong.len();
    wrong.extend(ours.check(at));
    if wrong.len() > before {
        wrong.push(FieldError::invalid(at, field::json(selector), "invalid label selector"));
        return;
    }
    if ours.is_empty() {
        // Left out and empty are the same to the typed object, and leaving it out is what people do.
        field::required(wrong, at);
    }
    if ours.is_empty() || !ours.matches(labels.unwrap_or(&BTreeMap::new())) {
        let labels = field::json(&labels);
        wrong.push(FieldError::invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
    }
}
