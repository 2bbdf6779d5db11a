//! Cluster IPs, node ports and routing tables, through the loop.
use crate::world::{NODE, Running, at, config, eventually, hear, hear_inside, pod, say};
use knarr_cluster::views::{Node, Pod, Service};
use serde_json::json;
use std::net::TcpListener;

const PODS: &str = "10.42.0.0/24";

pub fn answers_on_cluster_ips() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    let ((a, one), (b, two)) = (pod(&running.network, "a", 8080), pod(&running.network, "b", 8080));
    say(one, "a");
    say(two, "b");
    running.service("web", 5, &[&a.to_string(), &b.to_string()]);
    let service = at("10.96.0.5:80");
    eventually("a".to_owned(), || hear(service));
    let mut answers: Vec<_> = (0..4).map(|_| hear(service)).collect();
    answers.sort();
    assert_eq!(answers, ["a", "a", "b", "b"], "in turn");
    let mut answers: Vec<_> = (0..2).map(|_| hear_inside(&running.network, service)).collect();
    answers.sort();
    assert_eq!(answers, ["a", "b"], "from a pod's address too");
    assert_eq!(hear(at("10.96.0.5:81")), "ConnectionRefused", "another port");
    assert_eq!(hear(at("10.96.0.6:80")), "ConnectionRefused", "another address");
    running.stop().remove().unwrap();
}

pub fn refuses_without_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    let (address, listener) = pod(&running.network, "a", 8080);
    say(listener, "a");
    running.service("web", 5, &[&address.to_string()]);
    eventually("a".to_owned(), || hear(at("10.96.0.5:80")));
    running.endpoints("web", &[&format!("{address}!")]);
    eventually("ConnectionRefused".to_owned(), || hear(at("10.96.0.5:80")));
    running.endpoints("web", &["10.42.0.200:8080", &address.to_string()]);
    eventually("a".to_owned(), || hear(at("10.96.0.5:80")));
    for _ in 0..4 {
        assert_eq!(hear(at("10.96.0.5:80")), "a", "an endpoint that is dead is passed over");
    }
    running.stop().remove().unwrap();
}

fn node_port(running: &Running, port: u16) {
    running.put::<Service>(
        "web",
        json!({"spec": {"clusterIP": "10.96.0.5", "type": "NodePort",
        "ports": [{"name": "http", "port": 80, "nodePort": port}]}}),
    );
}

pub fn answers_on_node_ports() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    let (address, listener) = pod(&running.network, "a", 8080);
    say(listener, "a");
    running.service("web", 5, &[&address.to_string()]);
    node_port(&running, 30080);
    eventually("a".to_owned(), || hear(at("127.0.0.1:30080")));
    assert_eq!(hear(at("10.42.0.1:30080")), "a", "on every address of the host");
    node_port(&running, 30081);
    eventually("a".to_owned(), || hear(at("127.0.0.1:30081")));
    assert_eq!(hear(at("127.0.0.1:30080")), "ConnectionRefused", "the old port is closed");
    running.stop().remove().unwrap();
}

pub fn tells_of_taken_ports() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    let taken = TcpListener::bind("0.0.0.0:30080").unwrap();
    let (address, listener) = pod(&running.network, "a", 8080);
    say(listener, "a");
    running.service("web", 5, &[&address.to_string()]);
    node_port(&running, 30080);
    let told =
        || running.door.bodies("events").iter().map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    eventually(vec!["PortUnavailable".to_owned()], told);
    let event = running.door.bodies("events").remove(0);
    assert_eq!((&event["type"], &event["involvedObject"]["name"]), (&json!("Warning"), &json!("web")), "{event}");
    assert_eq!(hear(at("10.96.0.5:80")), "a", "the cluster IP answers all the same");
    drop(taken);
    // Any change makes the loop look again; without one it looks every ten seconds.
    running.put::<Node>(NODE, json!({"metadata": {"namespace": ""}}));
    eventually("a".to_owned(), || hear(at("127.0.0.1:30080")));
    running.stop().remove().unwrap();
}

pub fn pushes_routes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    running.put::<Pod>("p", json!({"spec": {"nodeName": NODE}}));
    running.service("web", 5, &["10.42.0.3:8080"]);
    let table = || running.runtime.routes("default");
    let endpoints = || table().and_then(|routes| Some(routes.services.first()?.ports.first()?.endpoints.len()));
    eventually(Some(1), endpoints);
    let before = table().unwrap().version;
    running.endpoints("web", &["10.42.0.3:8080", "10.42.0.4:8080"]);
    eventually(Some(2), endpoints);
    assert!(table().unwrap().version > before);
    assert!(running.runtime.routes("other").is_none(), "no table where no pod is");
    running.stop().remove().unwrap();
}

pub fn calls_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(config(folder.path(), PODS));
    say(TcpListener::bind("127.0.0.1:6443").unwrap(), "api");
    running.service("kubernetes", 1, &["127.0.0.1:6443"]);
    eventually("api".to_owned(), || hear(at("10.96.0.1:80")));
    assert_eq!(hear_inside(&running.network, at("10.96.0.1:80")), "api", "a pod reaches the API server through its Service");
    running.stop().remove().unwrap();
}
