//! The control plane of a process: certificates, store, API server, controllers and scheduler over one shelf.
use crate::{node::address_towards, options::ServerOptions, paths, up::until_told};
use anyhow::Context as _;
use ipnet::Ipv4Net;
use knarr_access::Pki;
use knarr_cluster::{Clock, Cluster};
use knarr_controllers::{NodeIpam, Selection, Settings};
use knarr_kinds::{Table, builtin};
use knarr_server::ApiServer;
use knarr_store::RedbStore;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr as UnixAddress, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who the kubeconfig that we write speaks for.
const ADMIN: &str = "knarr-admin";
const ADMINS: &[&str] = &["system:masters"];

/// A control plane that answers.
pub struct ControlPlane {
    pub cluster: Cluster,
    pub pki: Arc<Pki>,
    /// Where the API answers.
    pub address: SocketAddr,
    pub kubeconfig: PathBuf,
}

/// `knarr server`.
pub async fn run(options: ServerOptions) -> anyhow::Result<ExitCode> {
    let data = paths::data_dir(options.data_dir.clone())?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let plane = ControlPlane::start(&options, &data, &tasks, &stop).await?;
    println!("API         https://{}", plane.address);
    println!("Kubeconfig  {}", plane.kubeconfig.display());
    println!("Join token  {}", paths::node_token(&data).display());
    until_told().await?;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}

impl ControlPlane {
    pub async fn start(options: &ServerOptions, data: &Path, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<Self> {
        let folder = paths::server(data);
        let listener = listen(options.listen)?;
        let address = listener.local_addr()?;
        // The folder's lock comes first: a second server must not touch the first one's certificates.
        let kinds = Table::new(builtin());
        let store = open_store(&folder, data, &kinds)?;
        let pki = Arc::new(Pki::open_or_create(&folder.join("pki"), &names(options, address))?);
        paths::write_private(&paths::node_token(data), &format!("{}\n", pki.join_token()))?;
        let server = ApiServer::open(knarr_server::Config {
            store,
            kinds: kinds.clone(),
            pki: Arc::clone(&pki),
            service_cidr: options.service_cidr,
            node_ports: options.node_ports,
            // Pods have no way to the host's loopback: then the `kubernetes` Service has no endpoint.
            advertise: Some(SocketAddr::new(advertised(address), address.port())).filter(|a| !a.ip().is_loopback()),
            clock: Clock::System,
        })
        .await?;
        let cluster = server.cluster();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let serve_stop = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = server.serve(listener, serve_stop).await {
                tracing::error!(%error, "the API server ended");
            }
            server.close().await;
        });
        start_loops(options, data, &pki, kinds, &cluster, tasks, stop)?;
        let kubeconfig = options.kubeconfig.clone().unwrap_or_else(|| paths::kubeconfig(data));
        paths::write_private(&kubeconfig, &pki.kubeconfig(&format!("https://{}", reachable(address)), ADMIN, ADMINS)?)?;
        Ok(Self { cluster, pki, address: reachable(address), kubeconfig })
    }
}

fn listen(wanted: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted} for the API; choose another address with --listen"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open_store(folder: &Path, data: &Path, kinds: &Table) -> anyhow::Result<Arc<RedbStore>> {
    // Everything of the cluster lies in it, Secrets too: for its owner only.
    let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)));
    made.with_context(|| format!("making {}", folder.display()))?;
    let store =
        RedbStore::open(folder, knarr_server::keeps(kinds)).with_context(|| format!("opening the data folder {}", data.display()))?;
    Ok(Arc::new(store))
}

/// What the certificate is for, beside what every API server's is for.
fn names(options: &ServerOptions, address: SocketAddr) -> Vec<String> {
    let first_service = Ipv4Addr::from(u32::from(options.service_cidr.network()) + 1);
    let mut names = vec![first_service.to_string(), advertised(address).to_string()];
    names.extend(options.tls_sans.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// The address that other machines, and the `kubernetes` Service, know the API by.
fn advertised(listening: SocketAddr) -> IpAddr {
    /// Never asked: it only chooses the way out.
    const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
    if listening.ip().is_unspecified() { address_towards(ELSEWHERE) } else { listening.ip() }
}

/// The address that this machine reaches the API by.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = if listening.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listening.ip() };
    SocketAddr::new(ip, listening.port())
}

fn start_loops(
    options: &ServerOptions,
    data: &Path,
    pki: &Pki,
    kinds: Table,
    cluster: &Cluster,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let selection = Selection::parse(&options.controllers.join(","))?;
    let cluster_cidr = options.cluster_cidr.map_or_else(|| free_cluster_cidr(data), Ok)?;
    let node_ipam = Some(NodeIpam { cluster_cidr, node_prefix: options.node_cidr_mask_size });
    let settings = Settings { kinds, root_ca_pem: pki.ca_pem().into(), node_ipam };
    knarr_controllers::spawn(&selection, &settings, cluster, tasks, stop);
    if options.scheduler {
        let (cluster, stop) = (cluster.clone(), stop.clone());
        tasks.spawn(async move { knarr_scheduler::run(cluster, stop).await });
    }
    Ok(())
}

/// A range for pods that nobody on this machine has, remembered for the next start.
fn free_cluster_cidr(data: &Path) -> anyhow::Result<Ipv4Net> {
    let file = paths::server(data).join("cluster-cidr");
    if let Ok(text) = std::fs::read_to_string(&file) {
        return text.trim().parse().with_context(|| file.display().to_string());
    }
    let mut candidates = knarr_network::cluster_cidrs();
    loop {
        let free = knarr_network::free_cidr(&candidates, &knarr_network::host_routes()?)
            .context("no free range for pods; give one with --cluster-cidr")?;
        if let Some(reservation) = reserve(free)? {
            // Until its route is laid nothing else says that the range is taken: it is ours for the life of the process.
            Box::leak(Box::new(reservation));
            paths::write_private(&file, &format!("{free}\n"))?;
            return Ok(free);
        }
        candidates.retain(|candidate| *candidate != free);
    }
}

/// Two clusters that start at the same moment must not choose the same range: who binds its name has it.
fn reserve(range: Ipv4Net) -> anyhow::Result<Option<UnixListener>> {
    let name = UnixAddress::from_abstract_name(format!("knarr/cluster-cidr/{range}"))?;
    match UnixListener::bind_addr(&name) {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error).context("reserving a range for pods"),
    }
}
