//! What the server itself does to `metadata` and how it keeps `status` and the rest apart, the same for every kind. Pure.
use jiff::Timestamp;
use knarr_kinds::Kind;
use knarr_machinery::{GroupResource, Reason, Status};
use serde_json::{Map, Value, json};

/// Fields of `metadata` that only the server writes.
const SERVERS: &[&str] =
    &["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "managedFields"];
/// Of these, what an update keeps from the stored object.
const KEPT: &[&str] = &["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

pub fn metadata(object: &mut Value) -> Result<&mut Map<String, Value>, Status> {
    let object = object.as_object_mut().ok_or_else(|| Status::bad_request("the body is no object"))?;
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    metadata.as_object_mut().ok_or_else(|| Status::bad_request("metadata is no object"))
}

pub fn text<'a>(metadata: &'a Map<String, Value>, field: &str) -> &'a str {
    metadata.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Times as Kubernetes writes them: whole seconds.
pub fn time(at: Timestamp) -> Value {
    json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The kind and version that a row speaks. A body may leave them out, but not name others.
pub fn check_type(object: &mut Value, kind: &Kind) -> Result<(), Status> {
    let wanted = kind.api_version();
    let said = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, name) = (said("apiVersion"), said("kind"));
    if !name.is_empty() && name != kind.kind {
        let message = format!(
            "{name} in version {:?} cannot be handled as a {}: no kind {name:?} is expected here",
            version_of(&api_version),
            kind.kind
        );
        return Err(Status::bad_request(message));
    }
    if !api_version.is_empty() && api_version != wanted {
        let message = format!("the API version in the data ({api_version}) does not match the expected API version ({wanted})");
        return Err(Status::bad_request(message));
    }
    object["apiVersion"] = json!(wanted);
    object["kind"] = json!(kind.kind);
    Ok(())
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or_default()
}

/// Namespace and name of the body against those of the URL; empty ones are filled in.
pub fn place(object: &mut Value, namespaced: Namespaced, namespace: &str, name: &str) -> Result<(), Status> {
    let metadata = metadata(object)?;
    match (namespaced, text(metadata, "namespace")) {
        (Namespaced::No, _) => drop(metadata.remove("namespace")),
        (Namespaced::Yes, "") => drop(metadata.insert("namespace".into(), json!(namespace))),
        (Namespaced::Yes, said) if said == namespace => {}
        _ => return Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request")),
    }
    match text(metadata, "name") {
        _ if name.is_empty() => Ok(()),
        said if said == name => Ok(()),
        "" => Err(Status::bad_request(format!("the name of the object ({name} based on URL) was undeterminable: name must be provided"))),
        said => Err(Status::bad_request(format!("the name of the object ({said}) does not match the name on the URL ({name})"))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespaced {
    Yes,
    No,
}

impl Namespaced {
    pub fn of(kind: &Kind) -> Self {
        if kind.namespaced { Self::Yes } else { Self::No }
    }
}

/// Makes a new object's metadata: everything that only the server says. The version is left as a hole for the store.
pub fn stamp_new(object: &mut Value, has_generation: bool, uid: &str, now: Timestamp) -> Result<(), Status> {
    let metadata = metadata(object)?;
    if !text(metadata, "resourceVersion").is_empty() {
        return Err(Status::new(500, Reason::Unknown, "resourceVersion should not be set on objects to be created"));
    }
    for field in SERVERS {
        metadata.remove(*field);
    }
    if has_generation {
        metadata.insert("generation".into(), json!(1));
    }
    metadata.insert("uid".into(), json!(uid));
    metadata.insert("creationTimestamp".into(), time(now));
    metadata.insert("resourceVersion".into(), json!(""));
    Ok(())
}

/// Puts back what an update may not change. Names and uid that differ stay, for the check to refuse them.
pub fn stamp_update(object: &mut Value, old: &Value) -> Result<(), Status> {
    let metadata = metadata(object)?;
    for field in SERVERS {
        metadata.remove(*field);
    }
    for field in KEPT {
        if let Some(kept) = old["metadata"].get(*field) {
            metadata.insert((*field).into(), kept.clone());
        }
    }
    if text(metadata, "uid").is_empty() {
        metadata.insert("uid".into(), old["metadata"]["uid"].clone());
    }
    metadata.insert("resourceVersion".into(), json!(""));
    Ok(())
}

/// What the writer believes to change, against what there is.
pub fn check_version(object: &Value, old: &Value, resource: &GroupResource, name: &str) -> Result<(), Status> {
    let said = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if said.is_empty() || said == "0" {
        return Ok(());
    }
    if said.parse::<u64>().is_err() {
        return Err(Status::new(500, Reason::Unknown, format!("strconv.ParseUint: parsing {said:?}: invalid syntax")));
    }
    if old["metadata"]["resourceVersion"] == said { Ok(()) } else { Err(Status::stale(resource, name)) }
}

/// Owners named twice count once. Returns the warning, if there is something to warn of.
pub fn unite_owners(object: &mut Value) -> Option<String> {
    let owners = object.get_mut("metadata")?.get_mut("ownerReferences")?.as_array_mut()?;
    let mut seen: Vec<Value> = vec![];
    let mut twice: Vec<String> = vec![];
    owners.retain(|owner| {
        let uid = owner["uid"].as_str().unwrap_or_default().to_owned();
        if seen.contains(owner) {
            if !twice.contains(&uid) {
                twice.push(uid);
            }
            return false;
        }
        seen.push(owner.clone());
        true
    });
    (!twice.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        )
    })
}

/// The main resource does not write the status.
pub fn keep_status(object: &mut Value, old: Option<&Value>) {
    let Some(fields) = object.as_object_mut() else { return };
    match old.and_then(|old| old.get("status")) {
        Some(status) => drop(fields.insert("status".into(), status.clone())),
        None => drop(fields.remove("status")),
    }
}

/// The status subresource writes nothing but the status, and metadata.
pub fn only_status(object: Value, old: &Value) -> Value {
    let mut merged = old.clone();
    for field in ["metadata", "status"] {
        match object.get(field) {
            Some(value) => merged[field] = value.clone(),
            None => drop(merged.as_object_mut().map(|fields| fields.remove(field))),
        }
    }
    // Labels and annotations may travel with a status, as a real server takes them of a Node; owners may not.
    if let Some(owners) = old["metadata"].get("ownerReferences") {
        merged["metadata"]["ownerReferences"] = owners.clone();
    }
    merged
}

#[cfg(test)]
mod tests;
