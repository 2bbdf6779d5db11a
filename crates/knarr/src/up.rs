//! `knarr up`: a single-node cluster in one process.
use crate::{
    control_plane::ControlPlane,
    node::{Node, Start, address_towards},
    options::UpOptions,
    paths,
    progress::milliseconds,
};
use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use knarr_cluster::{Everything, View, views};
use knarr_machinery::Key;
use knarr_network::IngressConfig;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far more than a node needs to become Ready; past it something is wrong.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long what is in flight may take when the process was told to end.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// A running single-node cluster.
pub struct Up {
    pub api: SocketAddr,
    pub http: SocketAddr,
    pub registry: SocketAddr,
    pub kubeconfig: PathBuf,
    node: Node,
    tasks: TaskTracker,
    stop: CancellationToken,
}

pub async fn run(options: UpOptions) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    for line in crate::machine::look().lines().iter().skip(1) {
        eprintln!("{line}");
    }
    let up = Up::start(&options).await?;
    println!("ready in {}: node {}", milliseconds(began.elapsed()), up.node.name);
    println!("API         https://{}", up.api);
    println!("Ingress     http://{}", up.http);
    println!("Registry    localhost:{}", up.registry.port());
    println!("export KUBECONFIG={}", up.kubeconfig.display());
    until_told().await?;
    eprintln!("ending: requests in flight are let go first");
    up.stop(false).await;
    Ok(ExitCode::SUCCESS)
}

impl Up {
    /// Starts everything and waits until the node is Ready.
    pub async fn start(options: &UpOptions) -> anyhow::Result<Self> {
        let data = paths::data_dir(options.server.data_dir.clone())?;
        crate::node::name(&options.node)?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        match Self::start_parts(options, &data, &tasks, &stop).await {
            Ok(up) => Ok(up),
            Err(error) => {
                stop.cancel();
                Err(error)
            }
        }
    }

    async fn start_parts(options: &UpOptions, data: &Path, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Self> {
        let plane = ControlPlane::start(&options.server, data, tasks, stop).await?;
        let registry = start_registry(options.registry_port, data, tasks, stop).await?;
        let address = options.node.node_ip.unwrap_or_else(|| node_address(plane.address));
        // Pods on loopback addresses listen on ports of their own choice, which an Ingress on every address would block.
        let shares_loopback = options.node.loopback_network || !crate::machine::has_network_namespaces();
        let host = if shares_loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let on = |port| SocketAddr::from((host, port));
        let ingress = IngressConfig { http: Some(on(options.http_port)), https: Some(on(options.https_port)), address };
        let node = Node::start(
            Start {
                options: &options.node,
                data,
                cluster: plane.cluster.clone(),
                interest: Arc::new(Everything),
                client_ca_pem: plane.pki.ca_pem().to_owned(),
                address,
                service_cidr: options.server.service_cidr,
                ingress: Some(ingress),
            },
            tasks,
            stop,
        )
        .await?;
        let up = Self {
            api: plane.address,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, options.http_port)),
            registry,
            kubeconfig: plane.kubeconfig.clone(),
            node,
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        up.wait_until_ready(&plane).await?;
        Ok(up)
    }

    async fn wait_until_ready(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        let shelf = &plane.cluster.shelf;
        let (key, resource) = (Key::cluster(&self.node.name), views::Node::resource());
        let ready = async {
            let mut known = shelf.revision();
            while !shelf.view::<views::Node>(&key).is_some_and(|node| node.is_ready()) {
                shelf.reached(&resource, knarr_machinery::Revision(known.0 + 1)).await;
                known = shelf.revision();
            }
        };
        if tokio::time::timeout(READY_PATIENCE, ready).await.is_err() {
            bail!("node {} did not become Ready within {READY_PATIENCE:?}; KNARR_LOG=info tells more", self.node.name);
        }
        Ok(())
    }

    /// Ends everything: what is in flight first, then the runners. `for_good` takes the pods' network away too.
    pub async fn stop(self, for_good: bool) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_PATIENCE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections were still open after {DRAIN_PATIENCE:?}");
        }
        self.node.stop_runners().await;
        if for_good {
            self.node.remove_network();
        }
    }
}

/// The node's address: that of the API where it can be reached from elsewhere, else the one towards the world.
fn node_address(api: SocketAddr) -> IpAddr {
    const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
    if api.ip().is_loopback() { address_towards(ELSEWHERE) } else { api.ip() }
}

async fn start_registry(port: u16, data: &Path, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<SocketAddr> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = tokio::net::TcpListener::bind(wanted)
        .await
        .with_context(|| format!("cannot listen on {wanted} for the registry; choose another port with --registry-port"))?;
    let address = listener.local_addr()?;
    let router = knarr_image::registry::router(&paths::server(data).join("registry"))?;
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the registry ended");
        }
    });
    Ok(address)
}

/// Returns on SIGTERM or Ctrl-C.
pub async fn until_told() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        told = tokio::signal::ctrl_c() => told.context("listening for Ctrl-C"),
    }
}

/// A plain GET: status and text.
pub async fn http_get(url: &str) -> anyhow::Result<(u16, String)> {
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(url.parse()?).await.with_context(|| format!("asking {url}"))?;
    let status = answer.status().as_u16();
    Ok((status, String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned()))
}
