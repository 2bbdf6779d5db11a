//! The words of scripts: what is given, what happens, what shall be so.
use crate::{Cluster, address};
use bytes::Bytes;
use jiff::Timestamp;
use knarr_cluster::{Done, Identity, Options, PatchType, Propagation, Target, Verb, View, Write};
use knarr_kinds::Kind;
use knarr_machinery::{Key, Reason, Revision, Status};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Virtual time, so it costs nothing: longer than anything that a script waits for, the longest back-off included.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// What is not in the API (containers, answers) is looked at so often while nothing changes there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Creates the objects of a YAML (or JSON) text in the namespace `default`, or changes those that are there by a strategic merge patch.
    pub async fn apply(&self, text: &str) {
        self.apply_in(address::DEFAULT_NAMESPACE, text).await;
    }

    pub async fn apply_in(&self, namespace: &str, text: &str) {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        for object in documents {
            self.apply_one(namespace, &object).await.unwrap_or_else(|status| panic!("{status}, of\n{text}\n{}", self.show()));
        }
    }

    async fn apply_one(&self, namespace: &str, object: &Value) -> Result<Done, Status> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let kind =
            self.kinds().by_kind(api_version, kind).unwrap_or_else(|| panic!("no matches for kind {kind:?} in version {api_version:?}"));
        let own = Some(text("/metadata/namespace")).filter(|own| !own.is_empty()).unwrap_or(namespace);
        let key = Key::new(if kind.namespaced { own } else { "" }, text("/metadata/name"));
        match self.submit(Verb::Create, kind, &key, None, object).await {
            Err(status) if status.reason == Reason::AlreadyExists => {
                self.submit(Verb::Patch(PatchType::Strategic), kind, &key, None, object).await
            }
            answer => answer,
        }
    }

    /// A merge patch of an object, as `deployments/web`.
    pub async fn patch(&self, object: &str, patch: Value) {
        let done = self.try_patch(object, patch).await;
        done.unwrap_or_else(|status| panic!("{status}\n{}", self.show()));
    }

    pub async fn try_patch(&self, object: &str, patch: Value) -> Result<Done, Status> {
        let (kind, key) = address::object(self.kinds(), object);
        self.submit(Verb::Patch(PatchType::Merge), &kind, &key, None, &patch).await
    }

    pub async fn try_create(&self, object: &str, new: &Value) -> Result<Done, Status> {
        let (kind, key) = address::object(self.kinds(), object);
        self.submit(Verb::Create, &kind, &key, None, new).await
    }

    /// Puts an object in the place of the one that is there.
    pub async fn try_replace(&self, object: &str, new: &Value) -> Result<Done, Status> {
        let (kind, key) = address::object(self.kinds(), object);
        self.submit(Verb::Update, &kind, &key, None, new).await
    }

    /// As `kubectl scale`.
    pub async fn scale(&self, object: &str, replicas: u32) {
        let (kind, key) = address::object(self.kinds(), object);
        let patch = json!({"spec": {"replicas": replicas}});
        let done = self.submit(Verb::Patch(PatchType::Merge), &kind, &key, Some("scale"), &patch).await;
        done.unwrap_or_else(|status| panic!("{status}\n{}", self.show()));
    }

    pub async fn delete(&self, object: &str) {
        self.delete_with(object, Options::default()).await;
    }

    /// Background, foreground or orphan.
    pub async fn delete_by(&self, object: &str, propagation: Propagation) {
        self.delete_with(object, Options { propagation: Some(propagation), ..Options::default() }).await;
    }

    pub async fn delete_with(&self, object: &str, options: Options) {
        let (kind, key) = address::object(self.kinds(), object);
        let write = Write { verb: Verb::Delete, target: target(&kind, &key, None), body: Bytes::new(), options };
        let done = self.parts().door.submit(&administrator(), write).await;
        done.unwrap_or_else(|status| panic!("{status}\n{}", self.show()));
    }

    async fn submit(&self, verb: Verb, kind: &Kind, key: &Key, sub: Option<&str>, body: &Value) -> Result<Done, Status> {
        let body = Bytes::from(body.to_string());
        let write = Write { verb, target: target(kind, key, sub), body, options: Options::default() };
        self.parts().door.submit(&administrator(), write).await
    }

    /// Lets time pass.
    pub async fn advance(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    pub fn now(&self) -> Timestamp {
        self.parts().clock.now()
    }

    /// Whole seconds since a moment.
    pub fn seconds_since(&self, moment: Timestamp) -> i64 {
        self.now().duration_since(moment).as_secs()
    }

    /// Waits, in virtual time, until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let (shelf, any) = (&self.parts().shelf, knarr_cluster::views::Pod::resource());
        let waiting = async {
            loop {
                let seen = shelf.revision();
                if is_so(self) {
                    return;
                }
                tokio::select! {
                    () = shelf.reached(&any, Revision(seen.0 + 1)) => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("never: {what}\n{}\n{}", self.show(), self.events().join("\n"));
        }
    }

    /// Waits until a part of an object has a value: `until_is("deployments/web", "/status/readyReplicas", 3)`. Null: it is not there.
    pub async fn until_is(&self, object: &str, pointer: &str, value: impl Into<Value>) {
        let value = value.into();
        self.until(&format!("{object}{pointer} is {value}"), |cluster| cluster.at(object, pointer) == value).await;
    }

    pub async fn until_gone(&self, object: &str) {
        self.until(&format!("{object} is gone"), |cluster| cluster.get(object).is_none()).await;
    }

    /// Waits for an event that has all these texts in its line; see [`Cluster::events`].
    pub async fn until_told(&self, texts: &[&str]) {
        let is_told = |cluster: &Self| cluster.events().iter().any(|line| texts.iter().all(|text| line.contains(text)));
        self.until(&format!("an event says {texts:?}"), is_told).await;
    }

    /// An object, as `pods/web` or `pods/shop/web`.
    pub fn get(&self, object: &str) -> Option<Value> {
        let (kind, key) = address::object(self.kinds(), object);
        let entry = self.parts().shelf.get(&kind.storage(), &key)?;
        Some(serde_json::from_slice(&entry.bytes).expect("the shelf has JSON"))
    }

    /// A part of an object, by JSON pointer. Null where there is none.
    pub fn at(&self, object: &str, pointer: &str) -> Value {
        self.get(object).and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    /// The status of a condition: `True`, `False`, `Unknown`; empty where there is none.
    pub fn condition(&self, object: &str, kind: &str) -> String {
        let conditions = self.at(object, "/status/conditions");
        let found = conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
        found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
    }

    /// All objects of a collection, in all namespaces.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let (entries, _) = self.parts().shelf.list(&self.collection(plural).storage(), None);
        entries.iter().map(|entry| serde_json::from_slice(&entry.bytes).expect("the shelf has JSON")).collect()
    }

    /// All objects of a kind in the namespace `default`, as loops see them.
    pub fn views<V: View>(&self) -> Vec<Arc<V>> {
        self.parts().shelf.views(Some(address::DEFAULT_NAMESPACE))
    }

    /// What lies in a namespace, as `pods/shop/web`.
    pub fn everything_in(&self, namespace: &str) -> Vec<String> {
        let kinds = self.kinds().rows().iter().filter(|kind| kind.namespaced && !kind.ephemeral && kind.stored.is_none());
        let of = |kind: &Arc<Kind>| {
            let (entries, _) = self.parts().shelf.list(&kind.storage(), Some(namespace));
            entries.iter().map(|entry| format!("{}/{}", kind.plural, entry.key)).collect::<Vec<_>>()
        };
        kinds.flat_map(of).collect()
    }

    /// All events, a line each: `Pod/web-1 Warning BackOff x3: Back-off restarting ...`.
    pub fn events(&self) -> Vec<String> {
        self.objects("events").iter().map(line).collect()
    }
}

fn line(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/involvedObject/kind"), text("/involvedObject/name"));
    format!("{kind}/{name} {} {} x{}: {}", text("/type"), text("/reason"), event["count"], text("/message"))
}

fn target(kind: &Kind, key: &Key, sub: Option<&str>) -> Target {
    Target { resource: kind.resource(), version: None, key: key.clone(), subresource: sub.map(Into::into) }
}

fn administrator() -> Identity {
    let groups = ["system:masters", "system:authenticated"].map(Into::into).into();
    Identity { user: "administrator".into(), groups, ..Identity::default() }
}
