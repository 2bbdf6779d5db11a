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
    let mut has_lease = false;
    loop {
        let mut renewed = node.renew_lease().await;
        let is_missing = renewed.as_ref().is_err_and(|status| status.reason == Reason::NotFound);
        // A Lease goes with its Node: where one that was there is gone, the Node is asked after at once.
        let last = if is_missing && has_lease { Timestamp::MIN } else { reported_at };
        match node.report(last).await {
            Ok(at) => reported_at = at,
            Err(status) if status.reason == Reason::NotFound => {
                // Somebody deleted the Node under a living agent. It comes back: taking a node out means stopping its agent.
                tracing::warn!("the Node object is gone; registering again");
                reported_at = node.register().await;
            }
            Err(status) => tracing::warn!(%status, "the node's status was not taken"),
        }
        if is_missing {
            renewed = node.make_lease().await;
        }
        match renewed {
            Ok(()) => has_lease = true,
            Err(status) => tracing::warn!(%status, "the node's Lease was not renewed"),
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
        let mut node = object::node(&shared.config, &shared.machine);
        // Whole from its first moment on: a node without a status has no room, and pods that wait would be told so.
        node["status"] = self.status(&Value::Null);
        match shared.api.create(&nodes, key, &node).await {
            Ok(_) => Ok(()),
            Err(status) if status.reason == Reason::AlreadyExists => {
                let labels = json!({"metadata": {"labels": node["metadata"]["labels"]}});
                shared.api.patch(&nodes, key, None, &labels).await?;
                let status = self.status(&self.current());
                shared.api.patch(&nodes, key, Some("status"), &json!({ "status": status })).await.map(drop)
            }
            Err(status) => Err(status),
        }
    }

    /// The status as it is. Null where the shelf does not show Nodes, as a remote one may not.
    fn current(&self) -> Value {
        let entry = self.shared.cluster.shelf.get(&views::Node::resource(), &self.key);
        let node = entry.and_then(|entry| serde_json::from_slice::<Value>(&entry.bytes).ok());
        node.map_or(Value::Null, |node| node["status"].clone())
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
        let current = self.current();
        let wanted = self.status(&current);
        let is_news = !current.is_null() && object::differs(&wanted, &current);
        if !is_news && now.duration_since(reported_at) < HEARTBEAT {
            return Ok(reported_at);
        }
        shared.api.patch(&nodes, key, Some("status"), &json!({ "status": wanted })).await?;
        Ok(now)
    }

    async fn renew_lease(&self) -> Result<(), Status> {
        let (leases, key) = self.lease();
        self.shared.api.patch(&leases, &key, None, &json!({"spec": self.lease_spec()})).await.map(drop)
    }

    async fn make_lease(&self) -> Result<(), Status> {
        let Self { shared, key } = self;
        let owner = shared.cluster.shelf.get(&views::Node::resource(), key).map(|entry| entry.meta.uid.clone());
        let owners: Vec<Value> =
            owner.iter().map(|uid| json!({"apiVersion": "v1", "kind": "Node", "name": key.name, "uid": uid})).collect();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": key.name, "namespace": LEASES, "ownerReferences": owners},
            "spec": self.lease_spec(),
        });
        let (leases, key) = self.lease();
        shared.api.create(&leases, &key, &lease).await.map(drop)
    }

    fn lease(&self) -> (GroupResource, Key) {
        (GroupResource::new("coordination.k8s.io", "leases"), Key::new(LEASES, &self.key.name))
    }

    fn lease_spec(&self) -> Value {
        let now = object::micro_time(self.shared.cluster.clock.now());
        json!({"holderIdentity": self.key.name, "leaseDurationSeconds": LEASE_S, "renewTime": now})
    }
}
