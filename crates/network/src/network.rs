//! A node's network: the addresses of its pods and every socket that is bound or connected for them.
use crate::{
    Config, Mode, Result,
    addresses::Addresses,
    capabilities, cidr,
    error::Doing,
    ingress, joint, namespace,
    namespace::{Namespace, Owner},
    netlink, peers,
    sockets::{Place, Resident},
    state::Home,
};
use arc_swap::ArcSwap;
use ipnet::Ipv4Net;
use knarr_runtime::{Connect, Listener, NetworkError, Pending, PodNetwork};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::net::TcpStream;

pub struct Network {
    pub(crate) config: Config,
    pub(crate) owner: Owner,
    /// Talks to the kernel about the host's namespace: a thread without an async runtime.
    pub(crate) host: Resident,
    /// The pod ranges of other nodes; written by the loop.
    pub(crate) other_pods: ArcSwap<Vec<Ipv4Net>>,
    /// The Ingress's sockets, bound at the start so that a taken port is told at once; the loop takes them.
    pub(crate) ingress: Mutex<Option<ingress::Sockets>>,
    ingress_addresses: (Option<SocketAddr>, Option<SocketAddr>),
    namespace: Option<Namespace>,
    home: Home,
    pods: Mutex<Pods>,
}

/// A pod's sockets and addresses. Held for a few lines; binding is a few system calls.
#[derive(Default)]
struct Pods {
    range: Option<Ipv4Net>,
    addresses: Option<Addresses>,
    /// Duplicates of what was handed out, by address, so that a listener outlives its container.
    listeners: HashMap<SocketAddr, Kept>,
}

struct Kept {
    pod_uid: String,
    socket: TcpListener,
}

/// How long a guest's connection may take to be accepted.
const GUESTS: Duration = Duration::from_secs(10);

impl Network {
    /// Opens the network of a node: finds its namespace again or makes one, and binds the Ingress's ports. Blocks for some milliseconds.
    pub fn open(config: Config) -> Result<Arc<Self>> {
        let home = Home::take(&config.data_dir)?;
        let owner = Owner::new(&config.data_dir)?;
        let (host, ()) = Resident::start("host-network", || Ok(()))?;
        let namespace = open_namespace(config.mode, &owner)?;
        let ingress = config.ingress.as_ref().map(ingress::Sockets::bind).transpose()?;
        let range = match &namespace {
            Some(_) => config.pod_cidr.or_else(|| home.pod_cidr()),
            None => Some(config.pod_cidr.filter(cidr::is_loopback).unwrap_or_else(|| cidr::loopback_node_cidr(&owner.alias))),
        };
        let network = Self {
            config,
            owner,
            host,
            other_pods: ArcSwap::default(),
            ingress_addresses: ingress.as_ref().map(ingress::Sockets::addresses).unwrap_or_default(),
            ingress: Mutex::new(ingress),
            namespace,
            home,
            pods: Mutex::default(),
        };
        if let Some(range) = range {
            network.assign(range)?;
        }
        Ok(Arc::new(network))
    }

    /// The range that pods' addresses come from; nothing as long as the server has not given one.
    pub fn pod_cidr(&self) -> Option<Ipv4Net> {
        self.pods().range
    }

    /// Pods have a network namespace, and not loopback addresses.
    pub fn has_namespace(&self) -> bool {
        self.namespace.is_some()
    }

    /// The file that the pods' namespace is mounted on, for `nsenter --net=FILE`.
    pub fn namespace_file(&self) -> Option<&std::path::Path> {
        self.namespace.as_ref()?.file.as_deref()
    }

    /// Where the Ingress answers HTTP and HTTPS; tells the port where 0 was asked for.
    pub fn ingress_addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.ingress_addresses
    }

    /// Takes a range for the pods and lays the way to it. The one it has already changes nothing.
    pub fn assign(&self, range: Ipv4Net) -> Result<()> {
        let range = range.trunc();
        if self.pod_cidr() == Some(range) {
            return Ok(());
        }
        if let Some(namespace) = &self.namespace {
            let services = self.config.service_cidr;
            if joint::lay(&self.host, namespace, &self.owner, range, services)? == joint::Services::FromPodsOnly {
                tracing::warn!(%services, "another network on this machine has the range of Services: cluster IPs are reachable from pods only; \
                    --service-cidr chooses another");
            }
            self.home.remember(range)?;
        }
        let mut pods = self.pods();
        if let Some(old) = pods.range {
            tracing::warn!(%old, %range, "the node's pod range changed; pods with old addresses are not reachable");
        }
        pods.range = Some(range);
        pods.addresses = Some(Addresses::new(range));
        Ok(())
    }

    /// Removes everything that this node has on the machine: for clusters that do not come back.
    pub fn remove(&self) -> Result<()> {
        self.pods().listeners.clear();
        if let Some(namespace) = &self.namespace {
            peers::set(&self.host, &self.owner, peers::Wanted::new())?;
            joint::remove(&self.host, &self.owner)?;
            namespace.remove()?;
        }
        self.home.forget();
        Ok(())
    }

    /// Where sockets of an address are made: pods' and Services' in their namespace, all others on the host.
    pub(crate) fn place_of(&self, address: IpAddr) -> Place {
        let IpAddr::V4(address) = address else { return Place::Host };
        match &self.namespace {
            Some(namespace) if self.is_in_cluster(address) => Place::Pods(Arc::clone(&namespace.resident)),
            _ => Place::Host,
        }
    }

    fn is_in_cluster(&self, address: Ipv4Addr) -> bool {
        self.config.service_cidr.contains(&address)
            || self.pods().range.is_some_and(|own| own.contains(&address))
            || self.other_pods.load().iter().any(|pods| pods.contains(&address))
    }

    /// Takes back the listeners that pods' containers held while there was no agent.
    pub(crate) fn adopt(&self, held: Vec<(Listener, OwnedFd)>) {
        let mut pods = self.pods();
        for (listener, socket) in held {
            let kept = Kept { pod_uid: listener.pod_uid, socket: socket.into() };
            pods.listeners.entry(listener.listen.address).or_insert(kept);
        }
    }

    /// Connects on the node's own behalf.
    pub(crate) async fn dial(&self, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
        self.place_of(to.ip()).connect(None, to, patience).await
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        // Whoever panicked held it for single assignments; the books are whole.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_namespace(mode: Mode, owner: &Owner) -> Result<Option<Namespace>> {
    match mode {
        Mode::Loopback => return Ok(None),
        Mode::Auto if !capabilities::may_have_namespace() => {}
        Mode::Auto => match namespace::find_or_make(owner) {
            Ok(namespace) => return Ok(Some(namespace)),
            Err(error) => tracing::warn!(%error, "there can be no network namespace for pods"),
        },
        Mode::Namespace => return namespace::find_or_make(owner).map(Some),
    }
    tracing::warn!("no privilege for a network namespace: pods have addresses of 127.64.0.0/10, and cluster IPs cannot be connected to");
    Ok(None)
}

/// The ranges that this machine routes, for `free_cidr`. Blocks for a millisecond.
pub fn host_routes() -> Result<Vec<Ipv4Net>> {
    let look = || netlink::talk(async |netlink| netlink.routes().await);
    let routes = std::thread::spawn(look).join().map_err(|_| io::Error::other("the thread panicked")).doing("listing routes")??;
    Ok(routes.into_iter().map(|route| route.to).collect())
}

impl PodNetwork for Network {
    fn claim(&self, pod_uid: &str, had: Option<IpAddr>) -> std::result::Result<IpAddr, NetworkError> {
        let mut pods = self.pods();
        let range = pods.range;
        let Some(addresses) = &mut pods.addresses else {
            return Err(NetworkError::Unavailable("the node has no pod CIDR yet".into()));
        };
        let had = had.and_then(|had| if let IpAddr::V4(had) = had { Some(had) } else { None });
        let claimed = addresses.claim(pod_uid, had);
        claimed.map(IpAddr::V4).ok_or_else(|| NetworkError::Exhausted(range.map(|range| range.to_string()).unwrap_or_default()))
    }

    fn release(&self, pod_uid: &str) {
        let mut pods = self.pods();
        pods.listeners.retain(|_, kept| kept.pod_uid != pod_uid);
        if let Some(addresses) = &mut pods.addresses {
            addresses.release(pod_uid);
        }
    }

    fn listen(&self, pod_uid: &str, address: SocketAddr) -> std::result::Result<OwnedFd, NetworkError> {
        let failed = |source| NetworkError::Listen { address, source };
        if let Some(kept) = self.pods().listeners.get(&address).filter(|kept| kept.pod_uid == pod_uid) {
            return kept.socket.try_clone().map(OwnedFd::from).map_err(failed);
        }
        let socket = self.place_of(address.ip()).listen(address).map_err(failed)?;
        let given = socket.try_clone().map_err(failed)?;
        self.pods().listeners.insert(address, Kept { pod_uid: pod_uid.to_owned(), socket });
        Ok(given.into())
    }

    fn connect(&self, address: SocketAddr, timeout_ms: u64) -> Pending<'_, io::Result<TcpStream>> {
        Box::pin(self.dial(address, Duration::from_millis(timeout_ms)))
    }
}

impl Connect for Network {
    fn connect(&self, address: SocketAddr) -> Pending<'_, io::Result<OwnedFd>> {
        Box::pin(async move { Ok(self.dial(address, GUESTS).await?.into_std()?.into()) })
    }
}
