//! Starts the parts of a cluster and joins them, as the binary does, over fakes where the machine would begin.
use crate::{
    History, Node, Script, address,
    answers::{Answer, Answers},
    control_plane::{ControlPlane, Ground},
    images::{self, FakeImages},
    node::Shared,
};
use jiff::Timestamp;
use knarr_access::Pki;
use knarr_cluster::{Clock, View, views};
use knarr_controllers::Selection;
use knarr_image::PullError;
use knarr_kinds::{Kind, Table, builtin};
use knarr_machinery::Key;
use knarr_store::MemoryStore;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

/// When every script begins.
const START: &str = "2026-01-01T00:00:00Z";
/// A cluster that runs. Dropping it ends it.
pub struct Cluster {
    ground: Ground,
    control_plane: ControlPlane,
    nodes: BTreeMap<String, Node>,
    answers: Arc<Answers>,
    images: Arc<FakeImages>,
    /// What guests do, by image; nodes that come later have to know.
    scripts: Mutex<BTreeMap<String, Script>>,
    folder: TempDir,
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
        let kinds = Table::new(builtin());
        let ground = Ground {
            store: Arc::new(MemoryStore::new(knarr_server::keeps(&kinds))),
            pki: Arc::new(Pki::open_or_create(&folder.path().join("pki"), &[]).expect("a CA can be made")),
            clock: Clock::paused(START.parse::<Timestamp>().expect("it is a time")),
            selection: Selection::parse(&self.controllers).expect("controllers that there are"),
            has_scheduler: self.has_scheduler,
            kinds,
        };
        let control_plane = ControlPlane::start(&ground).await;
        let (nodes, answers, images, scripts) = (BTreeMap::new(), Arc::default(), Arc::default(), Mutex::default());
        let mut cluster = Cluster { ground, control_plane, nodes, answers, images, scripts, folder };
        for number in 1..=self.nodes {
            cluster.add_node(&format!("n{number}"), &[]).await;
        }
        cluster
    }
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
        let shared = Shared {
            cluster: self.parts().clone(),
            pki: Arc::clone(&self.ground.pki),
            answers: Arc::clone(&self.answers),
            images: Arc::clone(&self.images),
        };
        let node = Node::new(shared, name, number, labels, self.folder.path().join(name));
        for (image, script) in &*self.scripts.lock().expect("no panic while held") {
            node.runtime.script(&images::digest(image), script.clone());
        }
        node.start_agent();
        self.nodes.insert(name.to_owned(), node);
        let key = Key::cluster(name);
        let is_ready = |cluster: &Self| cluster.parts().shelf.view::<views::Node>(&key).is_some_and(|node| node.is_ready());
        self.until(&format!("{name} is Ready"), is_ready).await;
    }

    /// Ends the whole process and starts it again on what was stored: server, loops and agents. What runs in the runtimes goes on.
    pub async fn restart(&mut self) {
        for node in self.nodes.values() {
            node.stop_agent().await;
        }
        self.control_plane.end().await;
        self.control_plane = ControlPlane::start(&self.ground).await;
        for node in self.nodes.values_mut() {
            node.join(self.control_plane.parts.clone());
            node.start_agent();
        }
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
        self.answers.of_image(image, answer);
    }

    /// The same for one pod, as `namespace/name`.
    pub fn answer_of(&self, pod: &str, answer: Answer) {
        self.answers.of_pod(pod, answer);
    }

    /// From now on the image cannot be pulled, or can be again.
    pub fn image(&self, name: &str, error: Option<PullError>) {
        self.images.set(name, error);
    }

    /// Everything that loops see, for what scripts have no word for.
    pub fn parts(&self) -> &knarr_cluster::Cluster {
        &self.control_plane.parts
    }

    /// Follows a collection from now on, change by change.
    pub fn history<V: View>(&self) -> History<V> {
        History::new(&self.parts().shelf)
    }

    pub(crate) fn kinds(&self) -> &Table {
        &self.ground.kinds
    }

    pub(crate) fn collection(&self, word: &str) -> Arc<Kind> {
        address::collection(self.kinds(), word)
    }
}
