//! Pod: what a new one is given, and which parts of one may still change.
mod column;
mod update;
mod warning;

pub(crate) use column::columns;
pub(crate) use warning::about as warnings_about;

use crate::{
    Strategy,
    field::{self, text},
    pod_spec,
};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use knarr_machinery::FieldError;

#[derive(Clone)]
pub(crate) struct Pods;

impl Strategy for Pods {
    type Object = Pod;

    fn default(&self, new: &mut Pod) {
        let spec = new.spec.get_or_insert_default();
        pod_spec::default(spec);
        pod_spec::default_pod_only(spec);
        // One second is the least that "no grace" can mean to a kubelet.
        if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            spec.termination_grace_period_seconds = Some(1);
        }
    }

    fn prepare(&self, new: &mut Pod, old: Option<&Pod>) {
        if old.is_none() {
            new.status = Some(first_status(new));
        }
    }

    fn check(&self, new: &Pod, old: Option<&Pod>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(spec) = &new.spec else { return vec![FieldError::required("spec.containers", "")] };
        pod_spec::check(spec, "spec", &mut wrong);
        match old.and_then(|old| old.spec.as_ref()) {
            Some(old) => update::check(spec, old, &mut wrong),
            None if spec.ephemeral_containers.as_ref().is_some_and(|list| !list.is_empty()) => {
                wrong.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
            }
            None => {}
        }
        wrong
    }

    fn check_status(&self, new: &Pod, old: &Pod) -> Vec<FieldError> {
        let node = |pod: &Pod| pod.spec.as_ref().map(|spec| text(&spec.node_name).to_owned()).unwrap_or_default();
        let mut wrong = vec![];
        if node(new) != node(old) {
            wrong.push(FieldError::forbidden("spec.nodeName", "may not be changed directly"));
        }
        if let Some(name) = new.status.as_ref().and_then(|s| s.nominated_node_name.as_deref()).filter(|name| !name.is_empty()) {
            field::named(&mut wrong, "status.nominatedNodeName", name, knarr_machinery::names::is_dns_subdomain);
        }
        wrong
    }

    fn warnings(&self, new: &Pod) -> Vec<String> {
        new.spec.as_ref().map(|spec| warning::about(spec, "spec")).unwrap_or_default()
    }
}

fn first_status(pod: &Pod) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let condition = PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("SchedulingGated".into()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".into()),
        last_transition_time: pod.metadata.creation_timestamp.clone(),
        ..PodCondition::default()
    };
    PodStatus {
        phase: Some("Pending".into()),
        qos_class: Some(pod_spec::qos_class(&spec).into()),
        conditions: gated.then(|| vec![condition]),
        ..PodStatus::default()
    }
}

#[cfg(test)]
mod tests;
