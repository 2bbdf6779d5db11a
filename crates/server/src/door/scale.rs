//! The scale subresource: an `autoscaling/v1` Scale that stands for the replicas of a workload.
use super::{Ask, Door, attempt::Wanted};
use crate::{decode, object};
use knarr_cluster::{Done, PatchType};
use knarr_machinery::{FieldError, LabelSelector, Status};
use serde_json::{Value, json};

/// The Scale of a workload.
pub fn of(workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {"replicas": workload["status"]["replicas"].as_i64().unwrap_or(0)}});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(field) {
            scale["metadata"][field] = value.clone();
        }
    }
    if let Some(replicas) = workload["spec"]["replicas"].as_i64().filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    let selector: Option<LabelSelector> = serde_json::from_value(workload["spec"]["selector"].clone()).ok();
    if let Some(labels) = selector.and_then(|selector| selector.to_labels()) {
        scale["status"]["selector"] = json!(labels.to_string());
    }
    scale
}

impl Door {
    /// `how` is None for an update.
    pub(super) async fn scale(&self, ask: &Ask<'_>, how: Option<PatchType>) -> Result<Done, Status> {
        let body = decode::free(&ask.body, "scale")?;
        // The workload itself is written as by its main resource.
        let main = Ask {
            sub: None,
            body: ask.body.clone(),
            key: ask.key.clone(),
            kind: ask.kind.clone(),
            options: ask.options.clone(),
            resource: ask.resource.clone(),
            storage: ask.storage.clone(),
            ..*ask
        };
        let done = self
            .again_while_lost(&main, |_, old| {
                let before = of(old);
                let scale = match how {
                    None => body.clone(),
                    Some(PatchType::Json) => knarr_machinery::patch::json(before, body.clone())?,
                    Some(PatchType::Merge | PatchType::Strategic) => knarr_machinery::patch::merge(before, body.clone())?,
                    Some(PatchType::Apply) => return Err(super::update::unsupported_patch(super::update::PATCHES)),
                };
                scaled(ask, &scale, old).map(|object| Wanted { object, warnings: vec![] })
            })
            .await?;
        let workload: Value = serde_json::from_slice(&done.object).map_err(Status::internal)?;
        Ok(Done { object: serde_json::to_vec(&of(&workload)).map_err(Status::internal)?.into(), ..done })
    }
}

/// The workload with the replicas of a Scale.
fn scaled(ask: &Ask<'_>, scale: &Value, old: &Value) -> Result<Value, Status> {
    let name = scale["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != &*ask.key.name {
        return Err(Status::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", ask.key.name)));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        said => said
            .as_i64()
            .ok_or_else(|| Status::bad_request("Scale in version \"v1\" cannot be handled as a Scale: spec.replicas is no number"))?,
    };
    if replicas < 0 {
        let wrong = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", &ask.key.name, &[wrong]));
    }
    let mut object = old.clone();
    object["spec"]["replicas"] = json!(replicas);
    let metadata = object::metadata(&mut object)?;
    metadata.insert("resourceVersion".into(), scale["metadata"]["resourceVersion"].as_str().unwrap_or_default().into());
    if let Some(uid) = scale["metadata"]["uid"].as_str() {
        metadata.insert("uid".into(), json!(uid));
    }
    Ok(object)
}
