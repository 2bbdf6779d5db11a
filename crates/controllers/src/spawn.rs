//! Starts the controllers that are selected, each under its own identity.
use crate::{
    Selection,
    accounts::{RootCa, ServiceAccounts},
    deployments::Deployments,
    endpoints::{object::EndpointsObjects, slices::EndpointSlices},
    garbage::GarbageCollector,
    names::ALL,
    namespaces::Namespaces,
    nodes::{ipam::NodeIpam, lifecycle::NodeLifecycle, pod_garbage::PodGarbageCollector},
    replica_sets::ReplicaSets,
};
use knarr_cluster::{Cluster, Identity};
use knarr_kinds::Table;
use knarr_reconcile::Controller;
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What some controllers need to know beside the cluster.
#[derive(Clone)]
pub struct Settings {
    /// All kinds that the server knows: the garbage collector and the namespace loop go through them.
    pub kinds: Table,
    /// The certificate by which clients know the server, PEM.
    pub root_ca_pem: Arc<str>,
    /// Pod addresses that are handed out to nodes; `None` leaves that to somebody else.
    pub node_ipam: Option<NodeIpam>,
}

/// Starts the selected controllers. They run until `stop`; the tracker knows when all have ended.
pub fn spawn(selection: &Selection, settings: &Settings, cluster: &Cluster, tracker: &TaskTracker, stop: &CancellationToken) {
    let start = Start { selection, cluster, tracker, stop };
    start.one(Deployments);
    start.one(ReplicaSets);
    start.one(EndpointsObjects);
    start.one(EndpointSlices);
    start.one(ServiceAccounts);
    start.one(RootCa { pem: Arc::clone(&settings.root_ca_pem) });
    start.one(Namespaces { kinds: settings.kinds.clone() });
    start.one(GarbageCollector { kinds: settings.kinds.clone() });
    start.one(NodeLifecycle::default());
    start.one(PodGarbageCollector::default());
    if let Some(node_ipam) = settings.node_ipam {
        start.one(node_ipam);
    }
}

struct Start<'a> {
    selection: &'a Selection,
    cluster: &'a Cluster,
    tracker: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Start<'_> {
    fn one<C: Controller>(&self, controller: C) {
        if !self.selection.has(C::NAME) {
            return;
        }
        let account = ALL.iter().find(|known| known.name == C::NAME).map_or(C::NAME, |known| known.account);
        self.tracker.spawn(knarr_reconcile::run(controller, self.cluster.clone(), Identity::controller(account), self.stop.clone()));
    }
}

#[cfg(test)]
mod tests;
