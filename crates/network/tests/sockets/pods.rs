//! Pods' addresses and listeners.
use crate::world::{at, config, hear, hear_inside, ip, pod, say};
use knarr_network::{Config, Error, Mode, Network};
use knarr_runtime::{NetworkError, PodNetwork};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

const PODS: &str = "10.42.0.0/24";

pub fn keeps_host_and_pods_apart() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    say(TcpListener::bind("0.0.0.0:8081").unwrap(), "host");
    let (address, listener) = pod(&network, "a", 8081);
    say(listener, "pod");
    let silent = network.claim("b", None).unwrap();
    assert_eq!(hear(at("127.0.0.1:8081")), "host");
    assert_eq!(hear(address), "pod", "a host service does not block the port of a pod");
    assert_eq!(hear((silent, 8081)), "ConnectionRefused", "nor does it answer on pod addresses");
    assert_eq!(hear_inside(&network, address), "pod", "and so from inside");
    assert_eq!(hear_inside(&network, SocketAddr::new(silent, 8081)), "ConnectionRefused");
    assert_eq!(hear(at("10.42.0.1:8081")), "host", "the node's own address in the range is the host");
    network.remove().unwrap();
}

pub fn refuses_where_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    let begun = Instant::now();
    for last in [3, 77, 254] {
        assert_eq!(hear((ip(&format!("10.42.0.{last}")), 80)), "ConnectionRefused", ".{last}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "at once: {:?}", begun.elapsed());
    network.remove().unwrap();
}

pub fn keeps_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    let (address, first) = pod(&network, "a", 8080);
    drop(first);
    let waiting = TcpStream::connect(address).expect("the node's own duplicate takes connections while there is no container");
    let second = TcpListener::from(network.listen("a", address).unwrap());
    assert!(matches!(network.listen("b", address), Err(NetworkError::Listen { .. })), "another pod does not get it");
    say(second.try_clone().unwrap(), "runner");
    drop(waiting);
    drop(network);
    assert_eq!(hear(address), "runner", "a runner's listener lives on without an agent");
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    assert_eq!(hear(address), "runner", "and with the next one");
    assert_eq!(hear_inside(&network, address), "runner", "which found the namespace again");
    assert_eq!(network.claim("a", Some(address.ip())).unwrap(), address.ip(), "the pod keeps its address");
    assert_ne!(network.claim("new", None).unwrap(), address.ip());
    assert!(matches!(network.listen("a", address), Err(NetworkError::Listen { .. })), "the runner has the port");
    network.release("a");
    network.remove().unwrap();
}

pub fn claims_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), "10.42.0.0/29")).unwrap();
    let claim = |uid: &str| network.claim(uid, None).map(|address| address.to_string()).map_err(|error| error.to_string());
    assert_eq!(claim("a"), Ok("10.42.0.3".into()));
    assert_eq!(claim("b"), Ok("10.42.0.4".into()));
    assert_eq!(claim("a"), Ok("10.42.0.3".into()), "the same again");
    network.listen("a", at("10.42.0.3:8080")).unwrap();
    network.release("a");
    assert_eq!(hear(at("10.42.0.3:8080")), "ConnectionRefused", "what was kept of the listener is closed");
    assert_eq!(["c", "d"].map(claim), ["10.42.0.5", "10.42.0.6"].map(|address| Ok(address.into())));
    assert_eq!(claim("e"), Ok("10.42.0.3".into()));
    assert_eq!(claim("f"), Err("no pod address is left in 10.42.0.0/29".into()));
    network.remove().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(Config { pod_cidr: None, ..config(folder.path(), PODS) }).unwrap();
    assert!(matches!(network.claim("a", None), Err(NetworkError::Unavailable(_))), "no range yet");
    network.remove().unwrap();
}

pub fn works_on_loopback() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let open = |folder: &tempfile::TempDir| Network::open(Config { mode: Mode::Loopback, ..config(folder.path(), PODS) }).unwrap();
    let [first, second] = [open(&folders[0]), open(&folders[1])];
    assert!(!first.has_namespace());
    let (address, listener) = pod(&first, "a", 8081);
    assert!(address.ip().is_loopback(), "{address}");
    say(listener, "pod");
    assert_eq!(hear(address), "pod");
    assert_eq!(hear_inside(&first, address), "pod");
    assert_eq!(hear((second.claim("b", None).unwrap(), 8081)), "ConnectionRefused", "another node's addresses are others");
    first.remove().unwrap();
}

pub fn holds_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    assert!(matches!(Network::open(config(folder.path(), PODS)), Err(Error::InUse(_))));
    network.remove().unwrap();
    drop(network);
    Network::open(config(folder.path(), PODS)).unwrap().remove().unwrap();
}

pub fn works_without_mounts() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    assert_eq!(network.namespace_file(), None);
    let (address, listener) = pod(&network, "a", 8080);
    say(listener, "pod");
    assert_eq!(hear(address), "pod");
    drop(network);
    let network = Network::open(config(folder.path(), PODS)).unwrap();
    let (address, listener) = pod(&network, "b", 9090);
    say(listener, "new");
    assert_eq!(hear(address), "new", "a new namespace takes the place of the one that was lost");
    network.remove().unwrap();
}
