//! A cluster in memory with one node: a front door that writes straight to the shelf, a network of numbers, images without a registry.
use super::super::Agent;
use crate::{
    config::{Config, Kubelet},
    images::ImageSource,
};
use bytes::Bytes;
use jiff::Timestamp;
use knarr_cluster::{Clock, Cluster, Done, Everything, FrontDoor, Identity, Shelf, Verb, View as _, Write, views};
use knarr_image::{PullError, PullPolicy, Pulled};
use knarr_machinery::{GroupResource, Key, Pending, Reason, Revision, Status};
use knarr_runtime::{FakeRuntime, NetworkError, PodNetwork};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Virtual time, so it costs nothing: longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub struct World {
    pub door: Arc<Door>,
    pub runtime: Arc<FakeRuntime>,
    pub network: Arc<Network>,
    pub images: Arc<FakeImages>,
    pub data: tempfile::TempDir,
    pub clock: Clock,
}

/// Patches, creates and deletes as the server does, without asking who.
pub struct Door {
    pub shelf: Arc<Shelf>,
    revision: AtomicU64,
    /// `pods/status a`, `delete pods a`, in the order in which they came.
    pub log: Mutex<Vec<String>>,
    /// One write at a time.
    turn: Mutex<()>,
}

#[derive(Default)]
pub struct Network {
    pub claimed: Mutex<BTreeMap<String, IpAddr>>,
}

/// Every image is here, unless something is said of it.
#[derive(Default)]
pub struct FakeImages {
    pub broken: Mutex<BTreeMap<String, PullError>>,
}

impl World {
    pub fn new() -> Self {
        let shelf = Shelf::new();
        let door = Door { shelf, revision: AtomicU64::new(1), log: Mutex::default(), turn: Mutex::default() };
        // The fake runtime counts its time from 1970, too.
        let clock = Clock::paused(Timestamp::UNIX_EPOCH);
        let world = Self {
            door: Arc::new(door),
            runtime: Arc::default(),
            network: Arc::default(),
            images: Arc::default(),
            data: tempfile::tempdir().unwrap(),
            clock,
        };
        world.put("namespaces", json!({"metadata": {"name": "shop", "uid": "ns"}}));
        world
    }

    pub fn agent(&self, kubelet: Kubelet) -> Agent {
        let config = Config {
            node_name: "n1".into(),
            data_dir: self.data.path().to_owned(),
            node_address: [192, 0, 2, 1].into(),
            labels: BTreeMap::from([("zone".into(), "a".into())]),
            kubelet,
        };
        let door: Arc<dyn FrontDoor> = self.door.clone();
        Agent {
            config,
            cluster: Cluster { shelf: Arc::clone(&self.door.shelf), door, clock: self.clock.clone() },
            interest: Arc::new(Everything),
            runtime: self.runtime.clone(),
            network: self.network.clone(),
            images: self.images.clone(),
        }
    }

    /// Starts an agent; it ends when the answer is dropped.
    pub fn start(&self) -> Running {
        let stop = CancellationToken::new();
        let agent = self.agent(kubelet());
        let token = stop.clone();
        let task = tokio::spawn(async move { agent.run(token).await.expect("it runs") });
        Running { stop, task }
    }

    pub fn put(&self, plural: &str, object: Value) {
        self.door.put(&GroupResource::new("", plural), object);
    }

    /// A pod `a` that is bound to the node, with a container `web`.
    pub fn put_pod(&self, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        self.put("pods", json!({"metadata": {"name": "a", "namespace": "shop", "uid": "u1", "generation": 1}, "spec": spec}));
    }

    pub fn pod(&self) -> Option<Value> {
        let entry = self.door.shelf.get(&views::Pod::resource(), &Key::new("shop", "a"))?;
        Some(serde_json::from_slice(&entry.bytes).unwrap())
    }

    /// One part of the pod's status.
    pub fn status(&self, pointer: &str) -> Value {
        self.pod().and_then(|pod| pod["status"].pointer(pointer).cloned()).unwrap_or_default()
    }

    pub fn delete_pod(&self, grace_s: i64) {
        let mut pod = self.pod().unwrap();
        pod["metadata"]["deletionTimestamp"] = json!(Timestamp::from_second(self.clock.now().as_second()).unwrap().to_string());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace_s);
        self.put("pods", pod);
    }

    /// Waits, in virtual time, until this is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(self) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        if waited.await.is_err() {
            panic!("never: {what}; the pod is {:#?}; the log is {:#?}", self.pod(), self.log());
        }
    }

    pub async fn until_ready(&self) {
        self.until("the pod is ready", |world| world.status("/containerStatuses/0/ready") == json!(true)).await;
    }

    pub async fn until_waiting(&self, reason: &str) {
        self.until(reason, |world| world.status("/containerStatuses/0/state/waiting/reason") == json!(reason)).await;
    }

    pub fn log(&self) -> Vec<String> {
        self.door.log.lock().unwrap().clone()
    }

    /// The events of the pod, as `reason: message`.
    pub fn events(&self) -> Vec<String> {
        self.log().iter().filter_map(|line| line.strip_prefix("event ").map(ToOwned::to_owned)).collect()
    }
}

pub struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("it ended well");
    }
}

pub fn kubelet() -> Kubelet {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Kubelet {
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
        client_ca_pem: made.cert.pem(),
    }
}

impl Door {
    fn put(&self, resource: &GroupResource, mut object: Value) -> Done {
        let revision = Revision(self.revision.fetch_add(1, Ordering::SeqCst) + 1);
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Bytes::from(object.to_string());
        self.shelf.put(resource, revision, object.clone());
        Done { revision, object, created: false, pending: false, warnings: vec![] }
    }

    fn write(&self, write: &Write) -> Result<Done, Status> {
        let _turn = self.turn.lock().unwrap();
        let Write { verb, target, body, options } = write;
        let (resource, key) = (&target.resource, &target.key);
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() };
        self.note(write, &body);
        let found = self.shelf.get(resource, key);
        let missing = || Status::not_found(resource, &key.name);
        match verb {
            Verb::Create if found.is_some() => Err(Status::already_exists(resource, &key.name)),
            Verb::Create => {
                let mut object = body;
                object["metadata"]["uid"] = json!(format!("made-{}", key.name));
                Ok(self.put(resource, object))
            }
            Verb::Patch(_) => {
                let found = found.ok_or_else(missing)?;
                let seen = body["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned);
                if seen.is_some_and(|seen| seen != found.revision.to_string()) {
                    return Err(Status::stale(resource, &key.name));
                }
                let mut object: Value = serde_json::from_slice(&found.bytes).unwrap();
                merge(&mut object, &body);
                Ok(self.put(resource, object))
            }
            Verb::Delete => {
                let found = found.ok_or_else(missing)?;
                assert_eq!(options.preconditions.uid.as_deref(), Some(&*found.meta.uid), "a delete names the uid");
                let revision = Revision(self.revision.fetch_add(1, Ordering::SeqCst) + 1);
                self.shelf.delete(resource, revision, key);
                Ok(Done { revision, object: Bytes::new(), created: false, pending: false, warnings: vec![] })
            }
            Verb::Update => Err(Status::new(405, Reason::MethodNotAllowed, "the agent only patches")),
        }
    }

    fn note(&self, write: &Write, body: &Value) {
        let (resource, name) = (&write.target.resource.resource, &write.target.key.name);
        let line = match (&write.verb, &write.target.subresource) {
            (Verb::Create, _) if &**resource == "events" => {
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                format!("event {}: {}", text("reason"), text("message"))
            }
            (Verb::Create, _) => format!("create {resource} {name}"),
            (Verb::Delete, _) => format!("delete {resource} {name}"),
            (_, Some(sub)) => format!("{resource}/{sub} {name}"),
            (_, None) => format!("{resource} {name}"),
        };
        self.log.lock().unwrap().push(line);
    }
}

/// RFC 7386.
fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (field, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(field);
        } else {
            merge(&mut object[field.as_str()], value);
        }
    }
}

impl FrontDoor for Door {
    fn submit<'a>(&'a self, _who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        Box::pin(async move { self.write(&write) })
    }
}

impl PodNetwork for Network {
    fn claim(&self, pod_uid: &str, had: Option<IpAddr>) -> Result<IpAddr, NetworkError> {
        let mut claimed = self.claimed.lock().unwrap();
        let next = IpAddr::from([10, 0, 0, u8::try_from(claimed.len()).unwrap() + 1]);
        Ok(*claimed.entry(pod_uid.into()).or_insert(had.unwrap_or(next)))
    }

    fn release(&self, pod_uid: &str) {
        self.claimed.lock().unwrap().remove(pod_uid);
    }

    fn listen(&self, _pod_uid: &str, _address: SocketAddr) -> Result<OwnedFd, NetworkError> {
        Ok(TcpListener::bind("127.0.0.1:0").unwrap().into())
    }

    fn connect(&self, address: SocketAddr, _timeout_ms: u64) -> Pending<'_, std::io::Result<tokio::net::TcpStream>> {
        Box::pin(tokio::net::TcpStream::connect(address))
    }
}

impl ImageSource for FakeImages {
    fn ensure<'a>(&'a self, name: &'a str, _policy: PullPolicy) -> Pending<'a, Result<Pulled, PullError>> {
        let broken = self.broken.lock().unwrap().get(name).cloned();
        let digest = format!("sha256:{name}");
        let path = "/nowhere".into();
        let pulled = Pulled { name: format!("r/{name}:1"), wasm_digest: digest.clone(), digest, path, size_bytes: 8, fresh: false };
        Box::pin(async move { broken.map_or(Ok(pulled), Err) })
    }
}
