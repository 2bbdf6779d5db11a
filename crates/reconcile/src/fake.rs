//! A front door for tests of loops: writes straight to a shelf, as far as loops can tell a server from it.
//!
//! It knows what every object has (uid, revision, generation, finalizers, deletion), merge and condition patches, bindings, and that a leaving namespace takes nothing in. It knows no
//! defaults, no validation and no authorisation: those are the server's.
use bytes::Bytes;
use jiff::Timestamp;
use knarr_cluster::{Clock, Cluster, Done, FrontDoor, Identity, PatchType, Propagation, Shelf, Verb, Write};
use knarr_machinery::{GroupResource, Key, Pending, Revision, Status};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

type Refusal = Box<dyn Fn(&Write) -> Option<Status> + Send + Sync>;

/// One writer at a time, as a store is.
pub struct FakeDoor {
    shelf: Arc<Shelf>,
    revision: Mutex<u64>,
    refusal: Option<Refusal>,
}

/// An empty cluster behind a fake front door. The clock stands at `start` and follows tokio's time.
pub fn cluster(start: Timestamp) -> Cluster {
    refusing(start, |_| None)
}

/// The same with writes that are refused.
pub fn refusing(start: Timestamp, refusal: impl Fn(&Write) -> Option<Status> + Send + Sync + 'static) -> Cluster {
    let shelf = Shelf::new();
    let door = FakeDoor { shelf: Arc::clone(&shelf), revision: Mutex::new(0), refusal: Some(Box::new(refusal)) };
    Cluster { shelf, door: Arc::new(door), clock: Clock::paused(start) }
}

/// Puts an object into a cluster as somebody would; the answer is the object that was stored.
pub async fn create(cluster: &Cluster, resource: &GroupResource, object: &Value) -> Value {
    let write = crate::act::create(resource, object);
    let done = cluster.door.submit(&Identity::default(), write).await.expect("the fake refuses no creation of its own");
    serde_json::from_slice(&done.object).expect("the fake stores JSON")
}

impl FrontDoor for FakeDoor {
    fn submit<'a>(&'a self, _who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if let Some(status) = self.refusal.as_ref().and_then(|refusal| refusal(&write)) {
                return Err(status);
            }
            let mut revision = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
            *revision += 1;
            self.apply(&write, Revision(*revision))
        })
    }
}

impl FakeDoor {
    fn apply(&self, write: &Write, revision: Revision) -> Result<Done, Status> {
        let target = &write.target;
        let body: Value = if write.body.is_empty() { json!({}) } else { serde_json::from_slice(&write.body).map_err(Status::internal)? };
        match (write.verb, target.subresource.as_deref()) {
            (Verb::Create, None) => self.create(&target.resource, &target.key, body, revision),
            (Verb::Create, Some("binding")) => {
                let mut pod = self.stored(&target.resource, &target.key)?;
                if pod["spec"]["nodeName"].is_string() {
                    return Err(Status::conflict(&target.resource, &target.key.name, "pod is already assigned to a node"));
                }
                pod["spec"]["nodeName"] = body["target"]["name"].clone();
                self.put(&target.resource, pod, revision)
            }
            (Verb::Delete, _) => self.delete(write, revision),
            (verb, subresource) => {
                let old = self.stored(&target.resource, &target.key)?;
                check(&target.resource, &old, &body)?;
                let mut new = if verb == Verb::Update { body } else { old.clone() };
                if let Verb::Patch(how) = verb {
                    merge(&mut new, &body_of(write), how == PatchType::Strategic);
                }
                if subresource != Some("status") && new["spec"] != old["spec"] {
                    new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
                }
                self.put(&target.resource, new, revision)
            }
        }
    }

    fn create(&self, resource: &GroupResource, key: &Key, mut object: Value, revision: Revision) -> Result<Done, Status> {
        let meta = &mut object["metadata"];
        if key.name.is_empty() {
            meta["name"] = json!(format!("{}{revision:05}", meta["generateName"].as_str().unwrap_or_default(), revision = revision.0));
        }
        let name = meta["name"].as_str().unwrap_or_default().to_owned();
        let namespace = self.shelf.get(&GroupResource::new("", "namespaces"), &Key::cluster(&key.namespace));
        if namespace.is_some_and(|namespace| namespace.meta.is_deleting()) {
            let why = format!("unable to create new content in namespace {} because it is being terminated", key.namespace);
            return Err(Status::forbidden(resource, &name, &why));
        }
        if self.shelf.get(resource, &Key::new(&key.namespace, &name)).is_some() {
            return Err(Status::already_exists(resource, &name));
        }
        meta["uid"] = json!(format!("uid-{revision}"));
        meta["generation"] = json!(1);
        meta["creationTimestamp"] = json!(Timestamp::from_second(i64::try_from(revision.0).unwrap_or(0)).unwrap_or_default());
        self.put(resource, object, revision)
    }

    /// What finalizers or a propagation policy hold stays, marked as leaving.
    fn delete(&self, write: &Write, revision: Revision) -> Result<Done, Status> {
        let (resource, key) = (&write.target.resource, &write.target.key);
        let mut object = self.stored(resource, key)?;
        if write.options.preconditions.uid.as_deref().is_some_and(|uid| object["metadata"]["uid"] != uid) {
            return Err(Status::conflict(resource, &key.name, "the UID in the precondition does not match"));
        }
        let finalizer = match write.options.propagation {
            Some(Propagation::Foreground) => Some("foregroundDeletion"),
            Some(Propagation::Orphan) => Some("orphan"),
            _ => None,
        };
        let meta = &mut object["metadata"];
        let mut finalizers = meta["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.extend(finalizer.map(|finalizer| json!(finalizer)));
        meta["finalizers"] = json!(finalizers);
        if meta["deletionTimestamp"].is_null() {
            meta["deletionTimestamp"] = json!(Timestamp::UNIX_EPOCH);
        }
        self.put(resource, object, revision)
    }

    fn stored(&self, resource: &GroupResource, key: &Key) -> Result<Value, Status> {
        let entry = self.shelf.get(resource, key).ok_or_else(|| Status::not_found(resource, &key.name))?;
        serde_json::from_slice(&entry.bytes).map_err(Status::internal)
    }

    /// Stores an object, or lets it go if it is leaving and nothing holds it.
    fn put(&self, resource: &GroupResource, mut object: Value, revision: Revision) -> Result<Done, Status> {
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!(revision.to_string());
        let key = Key::new(meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap_or_default());
        let is_held = meta["finalizers"].as_array().is_some_and(|list| !list.is_empty())
            || object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let bytes = Bytes::from(serde_json::to_vec(&object).map_err(Status::internal)?);
        if !object["metadata"]["deletionTimestamp"].is_null() && !is_held {
            self.shelf.delete(resource, revision, &key);
        } else {
            self.shelf.put(resource, revision, bytes.clone());
        }
        Ok(Done { revision, object: bytes, created: false, pending: is_held, warnings: vec![] })
    }
}

fn body_of(write: &Write) -> Value {
    serde_json::from_slice(&write.body).unwrap_or_default()
}

/// The uid and the revision that a patch or an update names must be the object's.
fn check(resource: &GroupResource, old: &Value, body: &Value) -> Result<(), Status> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    for field in ["uid", "resourceVersion"] {
        let named = &body["metadata"][field];
        if !named.is_null() && *named != old["metadata"][field] {
            return Err(Status::stale(resource, name));
        }
    }
    Ok(())
}

/// A merge patch; a strategic one merges lists of conditions by their type.
fn merge(object: &mut Value, patch: &Value, is_strategic: bool) {
    let Some(fields) = patch.as_object() else { return *object = patch.clone() };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        match value {
            Value::Null => drop(object.as_object_mut().map(|object| object.remove(key))),
            Value::Array(items) if is_strategic && key == "conditions" => merge_conditions(&mut object[key], items),
            _ => merge(&mut object[key], value, is_strategic),
        }
    }
}

fn merge_conditions(list: &mut Value, items: &[Value]) {
    let mut kept = list.as_array().cloned().unwrap_or_default();
    for item in items {
        match kept.iter_mut().find(|old| old["type"] == item["type"]) {
            Some(old) => merge(old, item, true),
            None => kept.push(item.clone()),
        }
    }
    *list = json!(kept);
}
