//! PriorityClass: a number with a name.
use crate::{
    Kind, Strategy,
    column::count,
    field::{self, fill},
};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use knarr_machinery::FieldError;
use serde_json::Value;

const USER_MAX: i32 = 1_000_000_000;
/// Names that only the server itself may give.
const SYSTEM_PREFIX: &str = "system-";
/// The two classes that the server makes, above what users may ask for.
const SYSTEM: [(&str, i32); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

#[derive(Clone)]
pub(crate) struct PriorityClasses;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .column("Value", "integer", |o, _| count(o, "/value").into())
        .column("Global-Default", "boolean", |o, _| (o.get("globalDefault") == Some(&Value::Bool(true))).into())
        .age_column()
        .text_column("PreemptionPolicy", "/preemptionPolicy", "")
}

impl Strategy for PriorityClasses {
    type Object = PriorityClass;

    fn default(&self, new: &mut PriorityClass) {
        fill(&mut new.preemption_policy, "PreemptLowerPriority");
        new.value.get_or_insert_default();
    }

    fn check(&self, new: &PriorityClass, old: Option<&PriorityClass>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let (name, value) = (field::text(&new.metadata.name), new.value.unwrap_or_default());
        if name.starts_with(SYSTEM_PREFIX) {
            if !SYSTEM.contains(&(name, value)) {
                let detail = "priority class names with 'system-' prefix are reserved for system use only";
                wrong.push(FieldError::forbidden("metadata.name", detail));
            }
        } else if value > USER_MAX {
            wrong.push(FieldError::forbidden("value", format!("maximum allowed value of a user defined priority is {USER_MAX}")));
        }
        field::one_of(&mut wrong, "preemptionPolicy", field::text(&new.preemption_policy), &["Never", "PreemptLowerPriority"]);
        if let Some(old) = old {
            if old.value != new.value {
                wrong.push(FieldError::forbidden("value", "may not be changed in an update."));
            }
            field::immutable(&mut wrong, "preemptionPolicy", &new.preemption_policy, &old.preemption_policy);
        }
        wrong
    }
}
