//! ReplicaSet: as many pods of one template, and a selector that stays.
use crate::{Kind, Strategy, deployment, field, pod, pod_template, selector};
use k8s_openapi::api::apps::v1::ReplicaSet;
use knarr_machinery::FieldError;

#[derive(Clone)]
pub(crate) struct ReplicaSets;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .count_column("Desired", "integer", "/spec/replicas")
        .count_column("Current", "integer", "/status/replicas")
        .count_column("Ready", "integer", "/status/readyReplicas")
        .age_column()
        .container_columns("/spec/template/spec/containers")
        .selector_column()
}

impl Strategy for ReplicaSets {
    type Object = ReplicaSet;

    fn default(&self, new: &mut ReplicaSet) {
        let spec = &mut new.spec;
        spec.replicas.get_or_insert(1);
        pod_template::default(spec.template.get_or_insert_default());
    }

    fn prepare(&self, new: &mut ReplicaSet, _old: Option<&ReplicaSet>) {
        new.status.get_or_insert_default();
    }

    fn check(&self, new: &ReplicaSet, old: Option<&ReplicaSet>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let spec = &new.spec;
        field::not_negative(&mut wrong, "spec.replicas", spec.replicas);
        field::not_negative(&mut wrong, "spec.minReadySeconds", spec.min_ready_seconds);
        let template = spec.template.clone().unwrap_or_default();
        selector::check_workload(&spec.selector, template.metadata.as_ref().and_then(|m| m.labels.as_ref()), &mut wrong);
        pod_template::check_long_running(&template, "spec.template", &mut wrong);
        if let Some(old) = old.map(|old| &old.spec) {
            field::immutable(&mut wrong, "spec.selector", &spec.selector, &old.selector);
        }
        wrong
    }

    fn check_status(&self, new: &ReplicaSet, _old: &ReplicaSet) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(status) = &new.status else { return wrong };
        for (part, replicas, most) in [
            ("replicas", Some(status.replicas), None),
            ("fullyLabeledReplicas", status.fully_labeled_replicas, Some(status.replicas)),
            ("readyReplicas", status.ready_replicas, Some(status.replicas)),
            ("availableReplicas", status.available_replicas, Some(status.replicas)),
        ] {
            deployment::check_count(&format!("status.{part}"), replicas, most, &mut wrong);
        }
        wrong
    }

    fn warnings(&self, new: &ReplicaSet) -> Vec<String> {
        let spec = new.spec.template.as_ref().and_then(|template| template.spec.as_ref());
        spec.map(|spec| pod::warnings_about(spec, "spec.template.spec")).unwrap_or_default()
    }
}
