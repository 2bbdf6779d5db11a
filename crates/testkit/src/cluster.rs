//! Starts the parts of a cluster and joins them, as the binary does, over fakes where the machine would begin.
use crate::{History, Node, Script, address, answers::Answer, images, node::Shared};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use knarr_access::Pki;
use knarr_cluster::{Clock, View, views};
use knarr_controllers::{NodeIpam, Selection, Settings};
use knarr_image::PullError;
use knarr_kinds::{Kind, Table, builtin};
use knarr_machinery::Key;
use knarr_server::{ApiServer, Config};
use knarr_store::MemoryStore;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// When every script begins.
const START: &str = "2026-01-01T00:00:00Z";
/// Where the `kubernetes` Service would lead; nobody listens there.
const ADVERTISED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 250)), 6443);

/// A cluster that runs. Dropping it ends it.
pub struct Cluster {
    pub(crate) parts: knarr_cluster::Cluster,
    pub(crate) kinds: Table,
    nodes: BTreeMap<String, Node>,
    shared: Shared,
    /// What guests do, by image; nodes that come later have to know.
    scripts: Mutex<BTreeMap<String, Script>>,
    stop: CancellationToken,
    folder: TempDir,
    _server: ApiServer,
}

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Builder {
    nodes: usize,
    controllers: String,
    has_scheduler: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self { nodes: 1, controllers: "*".into(), has_scheduler: true }
    }
}

impl Builder {
    /// `n1`, `n2`, and so on.
    pub fn nodes(self, nodes: usize) -> Self {
        Self { nodes, ..self }
    }

    /// As `--controllers` says it.
    pub fn controllers(self, controllers: &str) -> Self {
        Self { controllers: controllers.into(), ..self }
    }

    pub fn without_scheduler(self) -> Self {
        Self { has_scheduler: false, ..self }
    }

    /// Starts everything and waits until the nodes are Ready.
    pub async fn start(self) -> Cluster {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let pki = Arc::new(Pki::open_or_create(&folder.path().join("pki"), &[]).expect("a CA can be made"));
        let kinds = Table::new(builtin());
        let server = ApiServer::open(Config {
            store: Arc::new(MemoryStore::new(knarr_server::keeps(&kinds))),
            kinds: kinds.clone(),
            pki: Arc::clone(&pki),
            service_cidr: network([10, 96, 0, 0], 16),
            node_ports: (30_000, 32_767),
            advertise: Some(ADVERTISED),
            clock: Clock::paused(START.parse::<Timestamp>().expect("it is a time")),
        })
        .await
        .expect("a server opens over an empty store");
        let (parts, stop) = (server.cluster(), CancellationToken::new());
        self.start_loops(&parts, &pki, &kinds, &stop);
        let shared = Shared { cluster: parts.clone(), pki, answers: Arc::default(), images: Arc::default() };
        let (nodes, scripts) = (BTreeMap::new(), Mutex::default());
        let mut cluster = Cluster { parts, kinds, nodes, shared, scripts, stop, folder, _server: server };
        for number in 1..=self.nodes {
            cluster.add_node(&format!("n{number}"), &[]).await;
        }
        cluster
    }

    fn start_loops(&self, parts: &knarr_cluster::Cluster, pki: &Pki, kinds: &Table, stop: &CancellationToken) {
        let tasks = TaskTracker::new();
        let node_ipam = Some(NodeIpam { cluster_cidr: network([10, 0, 0, 0], 8), node_prefix: 16 });
        let settings = Settings { kinds: kinds.clone(), root_ca_pem: pki.ca_pem().into(), node_ipam };
        let selection = Selection::parse(&self.controllers).expect("controllers that there are");
        knarr_controllers::spawn(&selection, &settings, parts, &tasks, stop);
        if self.has_scheduler {
            tasks.spawn(knarr_scheduler::run(parts.clone(), stop.clone()));
        }
    }
}

fn network(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), prefix).expect("a prefix below 33")
}

impl Cluster {
    pub fn build() -> Builder {
        Builder::default()
    }

    /// One node, all controllers, the scheduler.
    pub async fn start() -> Self {
        Self::build().start().await
    }

    /// A node joins; returns when it is Ready.
    pub async fn add_node(&mut self, name: &str, labels: &[(&str, &str)]) {
        let number = u8::try_from(self.nodes.len() + 1).expect("fewer than 256 nodes");
        let node = Node::new(&self.shared, name, number, labels, self.folder.path().join(name));
        for (image, script) in &*self.scripts.lock().expect("no panic while held") {
            node.runtime.script(&images::digest(image), script.clone());
        }
        node.start_agent();
        self.nodes.insert(name.to_owned(), node);
        let key = Key::cluster(name);
        let is_ready = |cluster: &Self| cluster.parts.shelf.view::<views::Node>(&key).is_some_and(|node| node.is_ready());
        self.until(&format!("{name} is Ready"), is_ready).await;
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// What containers of an image do from their next start on. Without a word they serve.
    pub fn guest(&self, image: &str, script: Script) {
        for node in self.nodes() {
            node.runtime.script(&images::digest(image), script.clone());
        }
        self.scripts.lock().expect("no panic while held").insert(image.to_owned(), script);
    }

    /// What guests of an image say to probes from now on. Without a word they answer 200.
    pub fn answer(&self, image: &str, answer: Answer) {
        self.shared.answers.of_image(image, answer);
    }

    /// The same for one pod, as `namespace/name`.
    pub fn answer_of(&self, pod: &str, answer: Answer) {
        self.shared.answers.of_pod(pod, answer);
    }

    /// From now on the image cannot be pulled, or can be again.
    pub fn image(&self, name: &str, error: Option<PullError>) {
        self.shared.images.set(name, error);
    }

    /// Everything that loops see, for what scripts have no word for.
    pub fn parts(&self) -> &knarr_cluster::Cluster {
        &self.parts
    }

    /// Follows a collection from now on, change by change.
    pub fn history<V: View>(&self) -> History<V> {
        History::new(&self.parts.shelf)
    }

    pub(crate) fn collection(&self, word: &str) -> Arc<Kind> {
        address::collection(&self.kinds, word)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
