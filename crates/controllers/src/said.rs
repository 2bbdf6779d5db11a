//! For tests: writes a plan the way a person would say it.
use knarr_reconcile::{Action, Plan};

pub(crate) fn said(plan: &Plan) -> String {
    let one = |action: &Action| match action {
        Action::Create { resource, object, .. } => {
            let name = object["metadata"]["name"].as_str().map(str::to_owned);
            let name = name.unwrap_or_else(|| format!("{}*", object["metadata"]["generateName"].as_str().unwrap_or_default()));
            format!("create {} {name}", resource.resource)
        }
        Action::Patch { of, .. } => format!("patch {} {}", of.resource.resource, of.key.name),
        Action::Status { of, .. } | Action::Condition { of, .. } => format!("status {} {}", of.resource.resource, of.key.name),
        Action::Finalize { of, .. } => format!("finalize {} {}", of.resource.resource, of.key.name),
        Action::Delete { of, .. } => format!("delete {} {}", of.resource.resource, of.key.name),
        Action::Event { reason, message, .. } => format!("say {reason}: {message}"),
    };
    plan.actions.iter().map(one).collect::<Vec<_>>().join(", ")
}
