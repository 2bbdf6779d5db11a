//! What every cluster has from its first moment on.
use crate::{Error, allocate::Ranges};
use bytes::Bytes;
use knarr_cluster::{Cluster, Identity, Options, PatchType, Target, Verb, Write};
use knarr_machinery::{GroupResource, Key, Reason, Status};
use serde_json::{Value, json};
use std::net::SocketAddr;

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];
const API_PORT: u16 = 443;

/// Makes what is missing. At a restart only the endpoint may be new.
pub async fn make(cluster: &Cluster, ranges: &Ranges, advertise: Option<SocketAddr>) -> Result<(), Error> {
    for name in NAMESPACES {
        ensure(cluster, "", "namespaces", "", json!({"metadata": {"name": name}})).await?;
    }
    let Some(advertise) = advertise else { return Ok(()) };
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let port = json!([{"name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": advertise.port()}]);
    let spec = json!({"type": "ClusterIP", "clusterIP": ranges.first().to_string(), "ports": port});
    ensure(cluster, "", "services", "default", json!({"metadata": {"name": "kubernetes", "labels": labels}, "spec": spec})).await?;
    let ports = json!([{"name": "https", "port": advertise.port(), "protocol": "TCP"}]);
    let mirrored = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let subsets = json!([{"addresses": [{"ip": advertise.ip().to_string()}], "ports": ports}]);
    renew(cluster, "", "endpoints", json!({"metadata": {"name": "kubernetes", "labels": mirrored}, "subsets": subsets})).await?;
    let labels = json!({"kubernetes.io/service-name": "kubernetes"});
    let family = if advertise.is_ipv4() { "IPv4" } else { "IPv6" };
    let endpoints = json!([{"addresses": [advertise.ip().to_string()], "conditions": {"ready": true}}]);
    let slice =
        json!({"metadata": {"name": "kubernetes", "labels": labels}, "addressType": family, "endpoints": endpoints, "ports": ports});
    renew(cluster, "discovery.k8s.io", "endpointslices", slice).await
}

fn who() -> Identity {
    let groups = ["system:masters", "system:authenticated"].map(Into::into).into();
    Identity { user: "system:apiserver".into(), groups, ..Identity::default() }
}

async fn ensure(cluster: &Cluster, group: &str, plural: &str, namespace: &str, object: Value) -> Result<(), Error> {
    let resource = GroupResource::new(group, plural);
    match submit(cluster, Verb::Create, &resource, Key::new(namespace, ""), &object).await {
        Ok(()) => Ok(()),
        Err(status) if status.reason == Reason::AlreadyExists => Ok(()),
        Err(source) => Err(Error::Bootstrap { what: format!("{resource} {}", object["metadata"]["name"]), source }),
    }
}

/// Makes an object in `default`, or gives an old one the new content.
async fn renew(cluster: &Cluster, group: &str, plural: &str, object: Value) -> Result<(), Error> {
    ensure(cluster, group, plural, "default", object.clone()).await?;
    let resource = GroupResource::new(group, plural);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let patched = submit(cluster, Verb::Patch(PatchType::Merge), &resource, Key::new("default", name), &object).await;
    patched.map_err(|source| Error::Bootstrap { what: format!("{resource} {name:?}"), source })
}

async fn submit(cluster: &Cluster, verb: Verb, resource: &GroupResource, key: Key, object: &Value) -> Result<(), Status> {
    let target = Target { resource: resource.clone(), version: None, key, subresource: None };
    let body = Bytes::from(object.to_string());
    cluster.door.submit(&who(), Write { verb, target, body, options: Options::default() }).await.map(drop)
}
