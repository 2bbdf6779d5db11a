//! What a node does to the machine around it, and how it leaves it.
use crate::world::{NODE, Running, at, config, eventually, hear, hear_inside, ip, links, pod, say};
use knarr_cluster::{View, views::Node};
use knarr_machinery::Key;
use knarr_network::{Config, Network, host_routes};
use knarr_runtime::PodNetwork;
use serde_json::json;
use std::{fs, net::SocketAddr, path::Path};

const A: &str = "10.42.0.0/24";
const B: &str = "10.43.0.0/24";

fn routes() -> Vec<String> {
    host_routes().unwrap().iter().map(ToString::to_string).collect()
}

pub fn joins_two_nodes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = Running::start(config(folders[0].path(), A));
    let b = Network::open(config(folders[1].path(), B)).unwrap();
    assert_eq!(a.network.namespace_file().unwrap().file_name().unwrap(), "knarr", "the first has the plain name");
    assert!(b.namespace_file().unwrap().file_name().unwrap().to_string_lossy().starts_with("knarr-"));
    let ((in_a, one), (in_b, two)) = (pod(&a.network, "a", 8080), pod(&b, "b", 8080));
    say(one, "a");
    say(two, "b");
    assert_eq!((hear(in_a), hear(in_b)), ("a".into(), "b".into()), "from the host");
    a.put::<Node>(
        "n2",
        json!({"metadata": {"namespace": ""}, "spec": {"podCIDR": B},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.43.0.1"}]}}),
    );
    a.service("other", 7, &[&in_b.to_string()]);
    eventually("b".to_owned(), || hear(at("10.96.0.7:80")));
    assert_eq!(hear_inside(&a.network, in_b), "b", "from one's pods to the other's");
    a.stop().remove().unwrap();
    assert_eq!(hear(in_b), "b", "one that ends leaves the other alone");
    b.remove().unwrap();
    assert_eq!(links(), ["lo"]);
}

/// Binds a cluster IP's address inside by hand: what the proxy does.
fn answers_on_service(network: &Network, line: &'static str) {
    say(network.listen("proxy", at("10.96.0.9:80")).unwrap().into(), line);
}

pub fn takes_over_services() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = Network::open(config(folders[0].path(), A)).unwrap();
    answers_on_service(&a, "a");
    let b = Network::open(config(folders[1].path(), B)).unwrap();
    answers_on_service(&b, "b");
    assert_eq!(hear(at("10.96.0.9:80")), "a", "the first cluster has the range on the host");
    assert_eq!(hear_inside(&b, at("10.96.0.9:80")), "b", "the second has it inside");
    drop((a, b));
    let b = Network::open(config(folders[1].path(), B)).unwrap();
    assert_eq!(hear(at("10.96.0.9:80")), "b", "a stopped cluster gives it up");
    let a = Network::open(config(folders[0].path(), A)).unwrap();
    assert_eq!(hear(at("10.96.0.9:80")), "b", "and finds it taken when it comes back");
    a.remove().unwrap();
    b.remove().unwrap();
}

pub fn buries_the_gone() {
    let gone = tempfile::tempdir().unwrap();
    drop(Network::open(config(gone.path(), A)).unwrap());
    gone.close().unwrap();
    assert_eq!(links().len(), 2, "it left its link behind: {:?}", links());
    let folder = tempfile::tempdir().unwrap();
    let network = Network::open(config(folder.path(), A)).unwrap();
    assert_eq!(links().len(), 2, "a new node removes it: {:?}", links());
    assert_eq!(namespaces(), ["knarr"]);
    assert_eq!(network.namespace_file().unwrap().file_name().unwrap(), "knarr", "and takes the name");
    network.remove().unwrap();
}

fn namespaces() -> Vec<String> {
    fs::read_dir("/run/netns").unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

pub fn leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = (links(), routes());
    let network = Network::open(config(folder.path(), A)).unwrap();
    let file = network.namespace_file().unwrap().to_owned();
    assert!(Path::new(&file).exists());
    assert_ne!((links(), routes()), before);
    network.remove().unwrap();
    assert_eq!((links(), routes()), before);
    assert!(!file.exists());
    assert!(namespaces().is_empty());
}

pub fn follows_the_range() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Config { pod_cidr: None, ..config(folder.path(), A) });
    assert_eq!(running.network.pod_cidr(), None);
    running.put::<Node>(NODE, json!({"metadata": {"namespace": ""}, "spec": {"podCIDR": "10.44.3.0/24"}}));
    eventually(Some("10.44.3.0/24".parse().unwrap()), || running.network.pod_cidr());
    let (address, listener) = pod(&running.network, "a", 80);
    assert_eq!(address, at("10.44.3.3:80"));
    say(listener, "pod");
    assert_eq!(hear(address), "pod");
    drop(running.stop());
    let network = Network::open(Config { pod_cidr: None, ..config(folder.path(), A) }).unwrap();
    assert_eq!(network.pod_cidr(), Some("10.44.3.0/24".parse().unwrap()), "remembered over a restart");
    network.assign("10.45.0.0/24".parse().unwrap()).unwrap();
    let (address, listener) = pod(&network, "b", 80);
    say(listener, "moved");
    assert_eq!((address, hear(address)), (at("10.45.0.3:80"), "moved".into()), "a new range is laid in the place of the old");
    assert!(!routes().contains(&"10.44.3.0/24".into()), "{:?}", routes());
    network.remove().unwrap();
}

pub fn routes_to_peers() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), A));
    let node = |name: &str, pods: &str, address: &str| {
        let addresses = json!([{"type": "InternalIP", "address": address}]);
        running.put::<Node>(name, json!({"metadata": {"namespace": ""}, "spec": {"podCIDR": pods}, "status": {"addresses": addresses}}));
    };
    let has = |route: &str| routes().contains(&route.to_owned());
    node(NODE, A, "10.42.0.1");
    // A router of our own: the first node's namespace. On a machine it is another machine.
    node("n2", "10.50.1.0/24", "10.42.0.2");
    eventually(true, || has("10.50.1.0/24"));
    node("n2", "10.50.2.0/24", "10.42.0.2");
    eventually((false, true), || (has("10.50.1.0/24"), has("10.50.2.0/24")));
    running.delete(&Node::resource(), &Key::cluster("n2"));
    eventually(false, || has("10.50.2.0/24"));
    node("n3", "10.50.3.0/24", "10.42.0.2");
    eventually(true, || has("10.50.3.0/24"));
    let unbound = SocketAddr::new(ip("10.42.0.200"), 80);
    assert_eq!(hear(unbound), "ConnectionRefused", "our own range goes where it went");
    running.stop().remove().unwrap();
    assert!(!has("10.50.3.0/24"), "no route is left: {:?}", routes());
}
