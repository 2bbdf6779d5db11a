//! The pod template of a workload: a pod's specification with labels of its own.
use crate::{
    field::{self, Wrong, text},
    object_meta, pod_spec,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use knarr_machinery::FieldError;

pub(crate) fn default(template: &mut PodTemplateSpec) {
    pod_spec::default(template.spec.get_or_insert_default());
}

/// The template of a workload that keeps its pods running for good.
pub(crate) fn check_long_running(template: &PodTemplateSpec, path: &str, wrong: &mut Wrong) {
    check(template, path, wrong);
    let Some(spec) = &template.spec else { return };
    if matches!(text(&spec.restart_policy), "OnFailure" | "Never") {
        field::one_of(wrong, &format!("{path}.spec.restartPolicy"), text(&spec.restart_policy), &["Always"]);
    }
    if spec.active_deadline_seconds.is_some() {
        wrong.push(FieldError::forbidden(
            format!("{path}.spec.activeDeadlineSeconds"),
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ));
    }
}

pub(crate) fn check(template: &PodTemplateSpec, path: &str, wrong: &mut Wrong) {
    if let Some(metadata) = &template.metadata {
        field::labels(wrong, &format!("{path}.labels"), metadata.labels.iter().flatten());
        object_meta::check_annotations(metadata.annotations.as_ref(), &format!("{path}.annotations"), wrong);
    }
    match &template.spec {
        Some(spec) => pod_spec::check(spec, &format!("{path}.spec"), wrong),
        None => field::required(wrong, &format!("{path}.spec.containers")),
    }
}
