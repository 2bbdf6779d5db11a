//! Deployment: defaults, the limits of a rolling update, and a selector that stays.
use crate::{
    Kind, Strategy,
    column::count,
    field::{self, NOT_NEGATIVE, Wrong, fill, text},
    pod, pod_template, selector,
};
use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    apimachinery::pkg::util::intstr::IntOrString,
};
use knarr_machinery::FieldError;

const HISTORY: i32 = 10;
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

#[derive(Clone)]
pub(crate) struct Deployments;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .column("Ready", "string", |o, _| format!("{}/{}", count(o, "/status/readyReplicas"), count(o, "/spec/replicas")).into())
        .count_column("Up-to-date", "string", "/status/updatedReplicas")
        .count_column("Available", "string", "/status/availableReplicas")
        .age_column()
        .container_columns("/spec/template/spec/containers")
        .selector_column()
}

impl Strategy for Deployments {
    type Object = Deployment;

    fn default(&self, new: &mut Deployment) {
        let spec = &mut new.spec;
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(HISTORY);
        spec.progress_deadline_seconds.get_or_insert(PROGRESS_DEADLINE_SECONDS);
        default_strategy(spec.strategy.get_or_insert_default());
        pod_template::default(&mut spec.template);
    }

    fn prepare(&self, new: &mut Deployment, _old: Option<&Deployment>) {
        new.status.get_or_insert_default();
    }

    fn check(&self, new: &Deployment, old: Option<&Deployment>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let spec = &new.spec;
        check_spec(spec, &mut wrong);
        if let Some(old) = old.map(|old| &old.spec) {
            field::immutable(&mut wrong, "spec.selector", &spec.selector, &old.selector);
        }
        wrong
    }

    fn check_status(&self, new: &Deployment, _old: &Deployment) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(status) = &new.status else { return wrong };
        let total = status.replicas.unwrap_or_default();
        for (part, replicas, most) in [
            ("replicas", status.replicas, None),
            ("updatedReplicas", status.updated_replicas, Some(total)),
            ("readyReplicas", status.ready_replicas, Some(total)),
            ("availableReplicas", status.available_replicas, Some(total)),
            ("unavailableReplicas", status.unavailable_replicas, None),
        ] {
            check_count(&format!("status.{part}"), replicas, most, &mut wrong);
        }
        if status.available_replicas > status.ready_replicas {
            let available = status.available_replicas.unwrap_or_default();
            wrong.push(FieldError::invalid("status.availableReplicas", available, "cannot be greater than readyReplicas"));
        }
        wrong
    }

    fn warnings(&self, new: &Deployment) -> Vec<String> {
        let spec = &new.spec.template.spec;
        spec.as_ref().map(|spec| pod::warnings_about(spec, "spec.template.spec")).unwrap_or_default()
    }
}

/// A count of a status: not negative, and not more than there are replicas.
pub(crate) fn check_count(path: &str, count: Option<i32>, most: Option<i32>, wrong: &mut Wrong) {
    field::not_negative(wrong, path, count);
    if let (Some(count), Some(most)) = (count, most)
        && count > most
    {
        wrong.push(FieldError::invalid(path, count, "cannot be greater than status.replicas"));
    }
}

fn default_strategy(strategy: &mut DeploymentStrategy) {
    fill(&mut strategy.type_, "RollingUpdate");
    if strategy.type_.as_deref() == Some("RollingUpdate") {
        let quarter = || IntOrString::String("25%".into());
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_surge.get_or_insert_with(quarter);
        rolling.max_unavailable.get_or_insert_with(quarter);
    }
}

fn check_spec(spec: &DeploymentSpec, wrong: &mut Wrong) {
    field::not_negative(wrong, "spec.replicas", spec.replicas);
    selector::check_workload(&spec.selector, spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref()), wrong);
    pod_template::check_long_running(&spec.template, "spec.template", wrong);
    if let Some(strategy) = &spec.strategy {
        check_strategy(strategy, wrong);
    }
    field::not_negative(wrong, "spec.minReadySeconds", spec.min_ready_seconds);
    field::not_negative(wrong, "spec.revisionHistoryLimit", spec.revision_history_limit);
    field::not_negative(wrong, "spec.progressDeadlineSeconds", spec.progress_deadline_seconds);
    if let Some(deadline) = spec.progress_deadline_seconds.filter(|deadline| *deadline <= spec.min_ready_seconds.unwrap_or_default()) {
        wrong.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
    }
}

fn check_strategy(strategy: &DeploymentStrategy, wrong: &mut Wrong) {
    match (text(&strategy.type_), &strategy.rolling_update) {
        ("Recreate", Some(_)) => {
            wrong.push(FieldError::forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"));
        }
        ("Recreate", None) => {}
        ("RollingUpdate", Some(rolling)) => check_rolling(rolling, wrong),
        ("RollingUpdate", None) => {
            wrong.push(FieldError::required("spec.strategy.rollingUpdate", "this should be defaulted and never be nil"))
        }
        _ => wrong.push(FieldError::not_supported("spec.strategy", field::json(strategy), &["Recreate", "RollingUpdate"])),
    }
}

fn check_rolling(rolling: &RollingUpdateDeployment, wrong: &mut Wrong) {
    let path = "spec.strategy.rollingUpdate";
    let [surge, unavailable] = [("maxSurge", &rolling.max_surge), ("maxUnavailable", &rolling.max_unavailable)]
        .map(|(part, value)| value.as_ref().and_then(|value| amount(value, &format!("{path}.{part}"), wrong)));
    if surge == Some(0) && unavailable == Some(0) {
        let shown = rolling.max_unavailable.as_ref().map(field::json).unwrap_or_default();
        wrong.push(FieldError::invalid(format!("{path}.maxUnavailable"), shown, "may not be 0 when `maxSurge` is 0"));
    }
    if let Some(text @ IntOrString::String(_)) = &rolling.max_unavailable
        && unavailable.is_some_and(|percent| percent > 100)
    {
        wrong.push(FieldError::invalid(format!("{path}.maxUnavailable"), field::json(text), "must not be greater than 100%"));
    }
}

/// A count or a percentage, where it is one.
fn amount(value: &IntOrString, path: &str, wrong: &mut Wrong) -> Option<i32> {
    match value {
        IntOrString::Int(count) if *count < 0 => {
            wrong.push(FieldError::invalid(path, *count, NOT_NEGATIVE));
            None
        }
        IntOrString::Int(count) => Some(*count),
        IntOrString::String(text) => {
            let percent =
                text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|digits| digits.parse().ok());
            if percent.is_none() {
                wrong.push(FieldError::invalid(path, &**text, PERCENT_RULE));
            }
            percent
        }
    }
}
