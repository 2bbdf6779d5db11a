//! What the cases share: a network on a folder of its own, a shelf to fill, pods that answer, and a front door that remembers.
use bytes::Bytes;
use knarr_cluster::{Clock, Cluster, Done, FrontDoor, Identity, Shelf, View, Write, views};
use knarr_machinery::{GroupResource, Key, Pending, Revision, Status};
use knarr_network::{Config, IngressConfig, Isolation, Mode, Network};
use knarr_runtime::{FakeRuntime, PodNetwork};
use serde_json::{Value, json};
use std::{
    io::{self, Read, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

pub const NODE: &str = "n1";
/// Everything here happens within one kernel; this is for a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace begins with its loopback down.
pub fn up_loopback() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        handle.link().change(rtnetlink::LinkUnspec::new_with_index(1).up().build()).execute().await.unwrap();
    });
}

/// The links of the namespace that the caller is in.
pub fn links() -> Vec<String> {
    let mut names: Vec<_> = nix::net::if_::if_nameindex().unwrap().iter().map(|link| link.name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub fn config(folder: &Path, pods: &str) -> Config {
    Config {
        node_name: NODE.into(),
        data_dir: folder.to_owned(),
        pod_cidr: Some(pods.parse().unwrap()),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        mode: Mode::Namespace,
        cluster_domain: "cluster.local".into(),
        isolation: Isolation::Namespace,
        ingress: None,
    }
}

pub fn with_ingress(config: Config) -> Config {
    let any = Some("127.0.0.1:0".parse().unwrap());
    Config { ingress: Some(IngressConfig { http: any, https: any, address: "127.0.0.1".parse().unwrap() }), ..config }
}

/// Claims an address for a pod and listens on it.
pub fn pod(network: &Network, uid: &str, port: u16) -> (SocketAddr, TcpListener) {
    let address = SocketAddr::new(network.claim(uid, None).unwrap(), port);
    let listener = TcpListener::from(network.listen(uid, address).unwrap());
    (address, listener)
}

/// Answers every connection with one line, until the process ends.
pub fn say(listener: TcpListener, line: &'static str) {
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that went away does not concern the next one.
            drop(stream.and_then(|mut stream| stream.write_all(line.as_bytes())));
        }
    });
}

/// What an address of the host's namespace (this process's own) answers.
pub fn hear(address: impl Into<SocketAddr>) -> String {
    let connect = TcpStream::connect_timeout(&address.into(), Duration::from_secs(3));
    said(connect.and_then(read))
}

/// What an address answers when it is called from inside the pods' namespace.
pub fn hear_inside(network: &Network, address: SocketAddr) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async { PodNetwork::connect(network, address, 3000).await?.into_std() });
    said(stream.and_then(read))
}

fn read(mut stream: TcpStream) -> io::Result<String> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

fn said(result: io::Result<String>) -> String {
    result.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

/// Waits for something that other tasks bring about.
pub fn eventually<T: PartialEq + std::fmt::Debug>(expected: T, mut look: impl FnMut() -> T) {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen == expected {
            return;
        }
        assert!(Instant::now() < end, "expected {expected:?}, saw {seen:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A front door that takes everything.
#[derive(Default)]
pub struct Door {
    pub writes: Mutex<Vec<(String, Write)>>,
}

impl FrontDoor for Door {
    fn submit<'a>(&'a self, who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        self.writes.lock().unwrap().push((who.user.clone(), write.clone()));
        let object = Bytes::from_static(b"{}");
        Box::pin(async move { Ok(Done { revision: Revision(1), object, created: false, pending: false, warnings: vec![] }) })
    }
}

impl Door {
    /// The bodies written to one collection.
    pub fn bodies(&self, plural: &str) -> Vec<Value> {
        let writes = self.writes.lock().unwrap();
        let of = writes.iter().filter(|(_, write)| &*write.target.resource.resource == plural);
        of.map(|(_, write)| serde_json::from_slice(&write.body).unwrap()).collect()
    }
}

/// A network that runs, with a shelf to fill.
pub struct Running {
    pub network: Arc<Network>,
    pub shelf: Arc<Shelf>,
    pub door: Arc<Door>,
    pub runtime: Arc<FakeRuntime>,
    revision: AtomicU64,
    stop: CancellationToken,
    executor: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<knarr_network::Result<()>>>,
}

impl Running {
    pub fn start(config: Config) -> Self {
        let network = Network::open(config).unwrap();
        let (shelf, door, runtime) = (Shelf::new(), Arc::new(Door::default()), Arc::new(FakeRuntime::default()));
        let cluster = Cluster { shelf: Arc::clone(&shelf), door: Arc::clone(&door) as _, clock: Clock::System };
        let stop = CancellationToken::new();
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = executor.spawn(Arc::clone(&network).run(cluster, Arc::clone(&runtime) as _, stop.clone()));
        Self { network, shelf, door, runtime, revision: AtomicU64::new(1), stop, executor: Some(executor), task: Some(task) }
    }

    pub fn handle(&self) -> tokio::runtime::Handle {
        self.executor.as_ref().unwrap().handle().clone()
    }

    /// Puts an object into a namespace; `more` is merged over its top.
    pub fn put<V: View>(&self, name: &str, more: Value) {
        let mut object = json!({"metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}")}});
        merge(&mut object, more);
        self.shelf.put(&V::resource(), self.next(), Bytes::from(object.to_string()));
    }

    pub fn delete(&self, resource: &GroupResource, key: &Key) {
        self.shelf.delete(resource, self.next(), key);
    }

    fn next(&self) -> Revision {
        Revision(self.revision.fetch_add(1, Ordering::SeqCst))
    }

    /// Service `name` on `10.96.0.<last>:80` for endpoints like `10.42.0.3:8080`; a `!` behind one says that it is not ready.
    pub fn service(&self, name: &str, last: u8, endpoints: &[&str]) {
        self.put::<views::Service>(
            name,
            json!({"spec": {"clusterIP": format!("10.96.0.{last}"), "type": "ClusterIP",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}),
        );
        self.endpoints(name, endpoints);
    }

    pub fn endpoints(&self, name: &str, endpoints: &[&str]) {
        let port = endpoints.first().map_or(80, |first| first.trim_end_matches('!').parse::<SocketAddr>().unwrap().port());
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|said| {
                let address: SocketAddr = said.trim_end_matches('!').parse().unwrap();
                json!({"addresses": [address.ip()], "conditions": {"ready": !said.ends_with('!')}})
            })
            .collect();
        self.put::<views::EndpointSlice>(
            name,
            json!({"metadata": {"labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "http", "port": port, "protocol": "TCP"}]}),
        );
    }

    pub fn http(&self) -> SocketAddr {
        self.network.ingress_addresses().0.unwrap()
    }

    /// Ends the loop as a node that stops does.
    pub fn stop(mut self) -> Arc<Network> {
        self.end();
        Arc::clone(&self.network)
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let (Some(executor), Some(task)) = (self.executor.take(), self.task.take()) {
            executor.block_on(async { tokio::time::timeout(PATIENCE, task).await }).unwrap().unwrap().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value))
        }
        (into, from) => *into = from,
    }
}

pub fn ip(said: &str) -> IpAddr {
    said.parse().unwrap()
}

pub fn at(said: &str) -> SocketAddr {
    said.parse().unwrap()
}
