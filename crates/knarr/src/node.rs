//! The node side of a process: network, runtime, images and the agent over them, joined to a cluster that is here or elsewhere.
use crate::{
    options::{Isolation, NodeOptions},
    paths,
};
use anyhow::Context as _;
use ipnet::Ipv4Net;
use knarr_cluster::{Cluster, Interest};
use knarr_image::Images;
use knarr_network::{IngressConfig, Mode, Network};
use knarr_node::{Agent, Kubelet};
use knarr_runtime::{Connect, PodNetwork, Runtime};
use knarr_runtime_wasm::WasmRuntime;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where kubelets usually answer; another port is taken where several nodes share a machine, and the Node's status says which.
const KUBELET_PORT: u16 = 10250;
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// The isolation domain of a node whose pods all share one runner.
const ONE_DOMAIN: &str = "node";

/// What requests in flight get when everything ends.
const DRAIN: Duration = Duration::from_secs(10);

/// What a node is started with.
pub struct Start<'a> {
    pub options: &'a NodeOptions,
    pub data: &'a Path,
    pub cluster: Cluster,
    pub interest: Arc<dyn Interest>,
    /// Who may read logs shows a certificate of this authority, PEM.
    pub client_ca_pem: String,
    /// Where others reach this node.
    pub address: IpAddr,
    pub service_cidr: Ipv4Net,
    pub ingress: Option<IngressConfig>,
}

/// A node that runs.
pub struct Node {
    pub name: String,
    network: Arc<Network>,
    runtime: Arc<WasmRuntime>,
}

impl Node {
    pub async fn start(start: Start<'_>, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Self> {
        let name = name(start.options)?;
        let data = paths::agent(start.data);
        std::fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
        let network = open_network(&start, &name, &data).await?;
        let runtime = open_runtime(&start, &data, &network).await?;
        let images = Images::open(paths::images(start.data))?;
        let agent = Agent {
            config: knarr_node::Config {
                node_name: name.clone(),
                data_dir: data,
                node_address: start.address,
                labels: BTreeMap::new(),
                kubelet: kubelet(start.address, &name, start.client_ca_pem)?,
            },
            cluster: start.cluster.clone(),
            interest: start.interest,
            runtime: Arc::<WasmRuntime>::clone(&runtime) as Arc<dyn Runtime>,
            network: Arc::<Network>::clone(&network) as Arc<dyn PodNetwork>,
            images: Arc::new(images),
        };
        let (agent_stop, network_stop) = (stop.clone(), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = agent.run(agent_stop).await {
                tracing::error!(%error, "the node agent ended");
            }
        });
        let running = Arc::clone(&network).run(start.cluster, Arc::<WasmRuntime>::clone(&runtime) as Arc<dyn Runtime>, network_stop);
        tasks.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(%error, "the node's network ended");
            }
        });
        Ok(Self { name, network, runtime })
    }

    /// Ends every runner: requests in flight are let go first. The agent has ended by then.
    pub async fn stop_runners(&self) {
        self.runtime.shutdown(DRAIN).await;
    }

    /// Takes the pods' network away from the machine.
    pub fn remove_network(&self) {
        if let Err(error) = self.network.remove() {
            tracing::warn!(%error, "the pods' network could not be removed");
        }
    }
}

pub fn name(options: &NodeOptions) -> anyhow::Result<String> {
    if let Some(name) = &options.node_name {
        let problems = knarr_machinery::names::is_dns_subdomain(name);
        anyhow::ensure!(problems.is_empty(), "--node-name {name:?}: {}", problems.join("; "));
        return Ok(name.clone());
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("asking for the host's name; give --node-name")?;
    Ok(host.trim().to_lowercase())
}

/// The address by which others reach this machine: the one it would use towards `peer`. Nothing is sent.
pub fn address_towards(peer: SocketAddr) -> IpAddr {
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(peer)?;
        socket.local_addr()
    };
    ask().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address: SocketAddr| address.ip())
}

async fn open_network(start: &Start<'_>, name: &str, data: &Path) -> anyhow::Result<Arc<Network>> {
    let config = knarr_network::Config {
        node_name: name.to_owned(),
        data_dir: data.to_owned(),
        pod_cidr: None,
        service_cidr: start.service_cidr,
        mode: if start.options.loopback_network { Mode::Loopback } else { Mode::Auto },
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        isolation: match start.options.isolation {
            Isolation::Namespace => knarr_network::Isolation::Namespace,
            Isolation::Node => knarr_network::Isolation::Node(ONE_DOMAIN.to_owned()),
        },
        ingress: start.ingress.clone(),
    };
    let opened = tokio::task::spawn_blocking(move || Network::open(config)).await.context("opening the network")?;
    Ok(opened?)
}

async fn open_runtime(start: &Start<'_>, data: &Path, network: &Arc<Network>) -> anyhow::Result<Arc<WasmRuntime>> {
    let program = std::env::current_exe().context("asking for this program's own path")?;
    let mut config = knarr_runtime_wasm::Config::new(data, program);
    config.isolation = match start.options.isolation {
        Isolation::Namespace => knarr_runtime_wasm::Isolation::Namespace,
        Isolation::Node => knarr_runtime_wasm::Isolation::Node,
    };
    config.connect = Arc::<Network>::clone(network) as Arc<dyn Connect>;
    Ok(WasmRuntime::open(config).await?)
}

fn kubelet(address: IpAddr, name: &str, client_ca_pem: String) -> anyhow::Result<Kubelet> {
    let listener =
        TcpListener::bind((address, KUBELET_PORT)).or_else(|_| TcpListener::bind((address, 0))).context("binding the kubelet's port")?;
    let own = rcgen::generate_simple_self_signed([name.to_owned(), address.to_string()]).context("making the kubelet's certificate")?;
    Ok(Kubelet { listener, certificate_pem: own.cert.pem(), key_pem: own.signing_key.serialize_pem(), client_ca_pem })
}
