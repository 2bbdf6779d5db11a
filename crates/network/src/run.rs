//! The loop of a node's network: the shelf in, sockets, routes and tables out. It looks at everything whenever anything changed.
use crate::{
    Network, Result,
    backends::{self, Backends},
    changes::Changes,
    ingress, peers,
    proxy::{self, Conflict, Front, Proxy},
    routing,
};
use ipnet::Ipv4Net;
use knarr_cluster::{
    Cluster, Identity, ObjectRef, Recorder, Type, View,
    views::{EndpointSlice, Ingress, Node, Pod, Secret, Service},
};
use knarr_machinery::Key;
use knarr_runtime::{Routes, Runtime};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Between two looks under a burst. Short: a pod that ends must be out of the tables before it stops.
const GAP: Duration = Duration::from_millis(10);
/// Without any change: what could not be done, like binding a port that was taken, is tried again.
const RETRY: Duration = Duration::from_secs(10);

struct Loop {
    network: Arc<Network>,
    cluster: Cluster,
    runtime: Arc<dyn Runtime>,
    recorder: Recorder,
    proxy: Proxy,
    ingress: Option<ingress::Ingresses>,
    pushed: BTreeMap<Box<str>, Arc<Routes>>,
    peers: Option<peers::Wanted>,
    /// Fronts whose conflict was told already.
    told: BTreeSet<Front>,
}

impl Network {
    /// Runs until `stop`. Errors are what keeps the node's network from working at all; everything else is tried again.
    pub async fn run(self: Arc<Self>, cluster: Cluster, runtime: Arc<dyn Runtime>, stop: CancellationToken) -> Result<()> {
        match runtime.listeners().await {
            Ok(held) => self.adopt(held),
            Err(error) => tracing::warn!(%error, "listeners of pods that run cannot be taken back; their containers keep them"),
        }
        let node = &self.config.node_name;
        let recorder = Recorder::on_node(cluster.clone(), Identity::node(node), "knarr-network", node);
        let resources =
            [Service::resource(), EndpointSlice::resource(), Pod::resource(), Node::resource(), Ingress::resource(), Secret::resource()];
        let changes = Changes::of(&cluster.shelf, resources);
        let sockets = self.ingress.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let ingress =
            sockets.map(|sockets| ingress::Ingresses::start(sockets, Arc::clone(&self), cluster.clone(), stop.clone())).transpose()?;
        let proxy = Proxy::new(Arc::clone(&self));
        let mut state =
            Loop { network: self, cluster, runtime, recorder, proxy, ingress, pushed: BTreeMap::new(), peers: None, told: BTreeSet::new() };
        while !stop.is_cancelled() {
            let next = Instant::now() + GAP;
            state.pass().await;
            tokio::select! {
                () = stop.cancelled() => break,
                // Elapsed or woken: both mean to look again.
                _ = timeout(RETRY, changes.next()) => {}
            }
            sleep_until(next).await;
        }
        state.proxy.close();
        if let Some(ingress) = state.ingress {
            ingress.finish().await;
        }
        Ok(())
    }
}

impl Loop {
    async fn pass(&mut self) {
        let nodes = self.cluster.shelf.views::<Node>(None);
        self.follow_range(&nodes).await;
        self.follow_peers(&nodes).await;
        let node = &self.network.config.node_name;
        let services = self.cluster.shelf.views::<Service>(None);
        let slices = self.cluster.shelf.views::<EndpointSlice>(None);
        let backends = backends::compile(&services, &slices, node);
        if let Some(ingress) = &mut self.ingress {
            ingress.apply(&self.cluster.shelf, &backends);
        }
        self.push_routes(&backends);
        self.proxy_services(&backends);
    }

    /// Takes the range that the server gave this node.
    async fn follow_range(&self, nodes: &[Arc<Node>]) {
        let me = nodes.iter().find(|node| *node.metadata.name == *self.network.config.node_name);
        let given: Option<Ipv4Net> = me.and_then(|node| node.spec.pod_cidr.as_deref()?.parse().ok());
        let Some(range) = given.filter(|_| self.network.has_namespace()).filter(|range| self.network.pod_cidr() != Some(range.trunc()))
        else {
            return;
        };
        let network = Arc::clone(&self.network);
        match tokio::task::spawn_blocking(move || network.assign(range)).await {
            Ok(Ok(())) => tracing::info!(%range, "the node has a pod range"),
            Ok(Err(error)) => tracing::error!(%range, %error, "the node cannot take its pod range; trying again"),
            Err(error) => tracing::error!(%error, "taking the pod range panicked"),
        }
    }

    /// Keeps the host's routes to other nodes. Tried again at every look until it works.
    async fn follow_peers(&mut self, nodes: &[Arc<Node>]) {
        let wanted = peers::wanted(nodes, &self.network.config.node_name, self.network.pod_cidr());
        if self.peers.as_ref() == Some(&wanted) {
            return;
        }
        self.network.other_pods.store(Arc::new(wanted.keys().copied().collect()));
        if self.network.has_namespace() {
            let (network, routes) = (Arc::clone(&self.network), wanted.clone());
            match tokio::task::spawn_blocking(move || peers::set(&network.host, &network.owner, routes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::warn!(%error, "the routes to other nodes cannot be set; trying again"),
                Err(error) => return tracing::error!(%error, "setting routes panicked"),
            }
        }
        self.peers = Some(wanted);
    }

    fn push_routes(&mut self, backends: &Backends) {
        let config = &self.network.config;
        let local = self.cluster.shelf.pods_on(&config.node_name);
        let pods: Vec<_> = self.network.pod_cidr().into_iter().chain(self.network.other_pods.load().iter().copied()).collect();
        let compiled = routing::compile(backends, &local, &pods, &config.isolation, &config.cluster_domain);
        let now_ms = u64::try_from(self.cluster.clock.now().as_millisecond()).unwrap_or_default();
        let news = routing::changed(&mut self.pushed, compiled, now_ms);
        for (domain, routes) in news {
            tracing::debug!(domain = &*domain, version = routes.version, "routes");
            self.runtime.route(&domain, routes);
        }
    }

    fn proxy_services(&mut self, backends: &Backends) {
        let binds_cluster_ips = self.network.has_namespace() && self.network.pod_cidr().is_some();
        let wanted = proxy::fronts(backends, binds_cluster_ips);
        let conflicts = self.proxy.apply(wanted);
        let still: BTreeSet<_> = conflicts.iter().map(|conflict| conflict.front).collect();
        for conflict in conflicts.into_iter().filter(|conflict| !self.told.contains(&conflict.front)) {
            tracing::warn!(service = %conflict.target.service, address = %conflict.front.address(), error = %conflict.error, "a Service cannot have its port");
            self.recorder.event(&about(&conflict), Type::Warning, "PortUnavailable", &said(&conflict));
        }
        self.told = still;
    }
}

fn about(conflict: &Conflict) -> ObjectRef {
    let Key { namespace, name } = conflict.target.service.clone();
    ObjectRef { api_version: "v1".into(), kind: "Service".into(), namespace, name, uid: conflict.target.uid.clone(), field_path: "".into() }
}

fn said(conflict: &Conflict) -> String {
    match conflict.front {
        Front::NodePort(port) => format!("Cannot listen on node port {port}: {}", conflict.error),
        Front::ClusterIp(address) => format!("Cannot listen on {address}: {}", conflict.error),
    }
}
