//! Binding: the scheduler's word where a pod runs.
use super::{ATTEMPTS, Ask, Door, attempt::Failed, delete::success, draft::encode};
use crate::{decode, object};
use knarr_cluster::Done;
use knarr_machinery::{FieldError, GroupResource, Status};
use serde_json::{Value, json};

impl Door {
    pub(super) async fn bind(&self, ask: &Ask<'_>) -> Result<Done, Status> {
        let binding = decode::free(&ask.body, "binding")?;
        for _ in 0..ATTEMPTS {
            let current = self.current(ask)?;
            let pod: Value = serde_json::from_slice(&current.bytes).map_err(Status::internal)?;
            let bound = bound(ask, pod, &binding)?;
            match self.replace(ask, &current, encode(ask, bound)?, vec![]).await {
                Ok(Done { revision, .. }) => {
                    return Ok(Done { revision, object: success(201).into(), created: true, pending: false, warnings: vec![] });
                }
                Err(Failed::Refused(status)) => return Err(status),
                Err(Failed::Lost) => {}
            }
        }
        Err(conflict(ask, "the object has been modified; please apply your changes to the latest version and try again"))
    }
}

fn conflict(ask: &Ask<'_>, why: &str) -> Status {
    Status::conflict(&GroupResource::new(&ask.resource.group, &format!("{}/binding", ask.resource.resource)), &ask.key.name, why)
}

/// The pod on its node: with the node's name, what the binding says in its metadata, and the condition that tells everybody.
fn bound(ask: &Ask<'_>, mut pod: Value, binding: &Value) -> Result<Value, Status> {
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let name = &ask.key.name;
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(Status::invalid("", "Binding", name, &[FieldError::required("target.name", "")]));
    }
    if !matches!(kind, "" | "Node") {
        return Err(Status::invalid("", "Binding", name, &[FieldError::not_supported("target.kind", kind, &["Node", "<empty>"])]));
    }
    if let Some(uid) = binding["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty() && pod["metadata"]["uid"] != *uid) {
        return Err(conflict(ask, &format!("the UID in the binding ({uid}) does not match that of the pod")));
    }
    if pod["metadata"].get("deletionTimestamp").is_some() {
        return Err(conflict(ask, &format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    if let Some(already) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        return Err(conflict(ask, &format!("pod {name} is already assigned to node {already:?}")));
    }
    pod["spec"]["nodeName"] = json!(node);
    for field in ["annotations", "labels"] {
        for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
            pod["metadata"][field][key] = value.clone();
        }
    }
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|condition| condition["type"] != "PodScheduled");
        list.push(json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": object::time(ask.now)}));
    }
    Ok(pod)
}
