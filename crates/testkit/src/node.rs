//! A node: the real agent over a runtime without guests.
use crate::{answers::Answers, images::FakeImages, link::Link, network::FakeNetwork};
use knarr_access::Pki;
use knarr_cluster::{Cluster, Everything, FrontDoor};
use knarr_node::{Agent, Config, Kubelet};
use knarr_runtime::{ContainerId, FakeRuntime, PodNetwork, Runtime, State};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct Node {
    name: String,
    number: u8,
    labels: BTreeMap<String, String>,
    data_dir: PathBuf,
    cluster: Cluster,
    pki: Arc<Pki>,
    link: Arc<Link>,
    pub(crate) runtime: Arc<FakeRuntime>,
    network: Arc<FakeNetwork>,
    images: Arc<FakeImages>,
    agent: Mutex<Option<Running>>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What a node shares with all others.
pub(crate) struct Shared {
    pub cluster: Cluster,
    pub pki: Arc<Pki>,
    pub answers: Arc<Answers>,
    pub images: Arc<FakeImages>,
}

impl Node {
    /// `number` makes its addresses its own.
    pub(crate) fn new(shared: Shared, name: &str, number: u8, labels: &[(&str, &str)], data_dir: PathBuf) -> Self {
        let clock = shared.cluster.clock.clone();
        let runtime = FakeRuntime::timed_by(move || u64::try_from(clock.now().as_millisecond()).expect("the clock starts after 1970"));
        let runtime = Arc::new(runtime);
        let (cluster, link) = linked(shared.cluster);
        Self {
            name: name.to_owned(),
            number,
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            data_dir,
            cluster,
            pki: shared.pki,
            link,
            network: Arc::new(FakeNetwork::new(number, Arc::clone(&runtime), shared.answers)),
            runtime,
            images: shared.images,
            agent: Mutex::default(),
        }
    }

    /// The next agent joins a control plane that has taken the place of the one before.
    pub(crate) fn join(&mut self, cluster: Cluster) {
        (self.cluster, self.link) = linked(cluster);
    }

    /// Starts the agent. What runs in the runtime is there for it to find.
    pub fn start_agent(&self) {
        let agent = Agent {
            config: Config {
                node_name: self.name.clone(),
                data_dir: self.data_dir.clone(),
                node_address: IpAddr::from([192, 0, 2, self.number]),
                labels: self.labels.clone(),
                kubelet: self.kubelet(),
            },
            cluster: self.cluster.clone(),
            interest: Arc::new(Everything),
            runtime: Arc::<FakeRuntime>::clone(&self.runtime) as Arc<dyn Runtime>,
            network: Arc::<FakeNetwork>::clone(&self.network) as Arc<dyn PodNetwork>,
            images: Arc::<FakeImages>::clone(&self.images) as Arc<dyn knarr_node::ImageSource>,
        };
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { agent.run(token).await.expect("an agent starts") });
        let before = self.agent.lock().expect("no panic while held").replace(Running { stop, task });
        assert!(before.is_none(), "one agent a node");
    }

    /// Ends the agent, as a restart of its process does: containers go on.
    pub async fn stop_agent(&self) {
        let running = self.agent.lock().expect("no panic while held").take();
        let Running { stop, task } = running.expect("an agent runs");
        stop.cancel();
        task.await.expect("the agent ended well");
    }

    /// From now on nothing that the node says arrives.
    pub fn silence(&self) {
        self.link.cut(true);
    }

    /// The node is heard again.
    pub fn hear(&self) {
        self.link.cut(false);
    }

    /// The containers of a pod that run.
    pub async fn running(&self, pod_uid: &str) -> Vec<ContainerId> {
        let seen = self.runtime.observe().await.expect("the fake always answers");
        let of_pod = seen.into_iter().filter(|one| one.pod_uid == pod_uid && matches!(one.state, State::Running { .. }));
        of_pod.map(|one| one.id).collect()
    }

    /// Everything that the runtime has, running or not.
    pub fn containers(&self) -> Vec<knarr_runtime::Container> {
        self.runtime.started()
    }

    fn kubelet(&self) -> Kubelet {
        let own = self.pki.client_cert(&format!("system:node:{}", self.name), &["system:nodes"]).expect("the CA signs");
        Kubelet {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port"),
            certificate_pem: own.certificate_pem,
            key_pem: own.key_pem,
            client_ca_pem: self.pki.ca_pem().to_owned(),
        }
    }
}

/// The cluster as a node sees it: through a door that can be cut.
fn linked(cluster: Cluster) -> (Cluster, Arc<Link>) {
    let link = Arc::new(Link::new(cluster.door));
    let door: Arc<dyn FrontDoor> = Arc::<Link>::clone(&link);
    (Cluster { door, ..cluster }, link)
}
