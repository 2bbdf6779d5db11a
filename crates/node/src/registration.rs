//! Registers the node, keeps its Lease fresh and its status true.
mod object;

use crate::{agent::Shared, machine::Load};
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{View as _, views};
use knarr_machinery::{GroupResource, Key, Reason, Status};
use serde_json::{Value, json};
use std::time::Duration;

/// How long the Lease says that silence is no death: Kubernetes' own 40 s, renewed four times in it.
const LEASE_S: u64 = 40;
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// A status that says nothing new is written this often.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(300);
/// The API server may still be starting, or be away.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);
const LEASES: &str = "kube-node-lease";

/// Runs for as long as the agent does.
pub(crate) async fn run(shared: &Shared) {
    let node = Registrar { shared, key: Key::cluster(&shared.config.node_name) };
    let mut reported_at = node.register().await;
    shared.teller.node("Starting", "Starting kubelet.");
    loop {
        if let Err(status) = node.renew_lease().await {
            tracing::warn!(%status, "the node's Lease was not renewed");
        }
        match node.report(reported_at).await {
            Ok(at) => reported_at = at,
            Err(status) if status.reason == Reason::NotFound => {
                // Somebody deleted the Node under a living agent. It comes back: taking a node out means stopping its agent.
                tracing::warn!("the Node object is gone; registering again");
                reported_at = node.register().await;
            }
            Err(status) => tracing::warn!(%status, "the node's status was not taken"),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

struct Registrar<'a> {
    shared: &'a Shared,
    key: Key,
}

impl Registrar<'_> {
    /// Makes the Node, or takes over the one that is there. Says when its status was written.
    async fn register(&self) -> Timestamp {
        let mut retry = FIRST_RETRY;
        loop {
            match self.try_register().await {
                Ok(()) => return self.shared.cluster.clock.now(),
                Err(status) => tracing::warn!(%status, "the node was not registered"),
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn try_register(&self) -> Result<(), Status> {
        let Self { shared, key } = self;
        let nodes = views::Node::resource();
        let node = object::node(&shared.config, &shared.machine);
        match shared.api.create(&nodes, key, &node).await {
            Ok(_) => {}
            Err(status) if status.reason == Reason::AlreadyExists => {
                let labels = json!({"metadata": {"labels": node["metadata"]["labels"]}});
                shared.api.patch(&nodes, key, None, &labels).await?;
            }
            Err(status) => return Err(status),
        }
        self.write_status().await
    }

    async fn write_status(&self) -> Result<(), Status> {
        let status = self.status(&Value::Null);
        self.shared.api.patch(&views::Node::resource(), &self.key, Some("status"), &json!({ "status": status })).await.map(drop)
    }

    fn status(&self, current: &Value) -> Value {
        let Self { shared, .. } = self;
        let load = Load::look(&shared.config.data_dir);
        let port = shared.config.kubelet.listener.local_addr().map_or(0, |address| address.port());
        object::status(&shared.config, &shared.machine, &load, port, current, shared.cluster.clock.now())
    }

    /// Writes the status if it changed, or was not written for long. Says when it was last written.
    async fn report(&self, reported_at: Timestamp) -> Result<Timestamp, Status> {
        let Self { shared, key } = self;
        let now = shared.cluster.clock.now();
        let nodes = views::Node::resource();
        // A remote shelf may not show Nodes: then it is written at each heartbeat only.
        let entry = shared.cluster.shelf.get(&nodes, key);
        let current = entry.and_then(|entry| serde_json::from_slice::<Value>(&entry.bytes).ok());
        let current = current.map_or(Value::Null, |node| node["status"].clone());
        let wanted = self.status(&current);
        let is_news = !current.is_null() && object::differs(&wanted, &current);
        if !is_news && now.duration_since(reported_at) < HEARTBEAT {
            return Ok(reported_at);
        }
        shared.api.patch(&nodes, key, Some("status"), &json!({ "status": wanted })).await?;
        Ok(now)
    }

    async fn renew_lease(&self) -> Result<(), Status> {
        let Self { shared, key } = self;
        let leases = GroupResource::new("coordination.k8s.io", "leases");
        let lease_key = Key::new(LEASES, &key.name);
        let spec = json!({
            "holderIdentity": key.name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": object::micro_time(shared.cluster.clock.now()),
        });
        match shared.api.patch(&leases, &lease_key, None, &json!({ "spec": spec })).await {
            Err(status) if status.reason == Reason::NotFound => {}
            other => return other.map(drop),
        }
        let owner = shared.cluster.shelf.get(&views::Node::resource(), key).map(|entry| entry.meta.uid.clone());
        let owners: Vec<Value> =
            owner.iter().map(|uid| json!({"apiVersion": "v1", "kind": "Node", "name": key.name, "uid": uid})).collect();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": key.name, "namespace": LEASES, "ownerReferences": owners},
            "spec": spec,
        });
        shared.api.create(&leases, &lease_key, &lease).await.map(drop)
    }
}
