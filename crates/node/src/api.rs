//! What the agent writes: as its node, through the front door.
use bytes::Bytes;
use knarr_cluster::{Cluster, Done, Identity, Options, PatchType, Preconditions, Target, Verb, View as _, Write, views};
use knarr_machinery::{GroupResource, Key, Revision, Status};
use serde_json::{Value, json};

pub struct Api {
    cluster: Cluster,
    me: Identity,
}

impl Api {
    pub fn new(cluster: Cluster, node: &str) -> Self {
        Self { cluster, me: Identity::node(node) }
    }

    /// Changes the status of the very object, in the very state, that was looked at.
    pub async fn patch_pod_status(&self, key: &Key, uid: &str, seen: Revision, status: Value) -> Result<Done, Status> {
        let body = json!({"metadata": {"uid": uid, "resourceVersion": seen.to_string()}, "status": status});
        self.patch(&views::Pod::resource(), key, Some("status"), &body).await
    }

    /// Removes a pod of which nothing is left here.
    pub async fn remove_pod(&self, key: &Key, uid: &str) -> Result<Done, Status> {
        let preconditions = Preconditions { uid: Some(uid.into()), ..Preconditions::default() };
        let options = Options { grace_period_seconds: Some(0), preconditions, ..Options::default() };
        self.submit(Verb::Delete, &views::Pod::resource(), key, None, Bytes::new(), options).await
    }

    pub async fn create(&self, resource: &GroupResource, key: &Key, object: &Value) -> Result<Done, Status> {
        self.submit(Verb::Create, resource, key, None, encode(object), Options::default()).await
    }

    pub async fn patch(&self, resource: &GroupResource, key: &Key, sub: Option<&str>, body: &Value) -> Result<Done, Status> {
        self.submit(Verb::Patch(PatchType::Merge), resource, key, sub, encode(body), Options::default()).await
    }

    async fn submit(
        &self,
        verb: Verb,
        resource: &GroupResource,
        key: &Key,
        subresource: Option<&str>,
        body: Bytes,
        mut options: Options,
    ) -> Result<Done, Status> {
        options.field_manager = Some("knarr-agent".into());
        let target = Target { resource: resource.clone(), version: None, key: key.clone(), subresource: subresource.map(Into::into) };
        self.cluster.door.submit(&self.me, Write { verb, target, body, options }).await
    }
}

fn encode(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
