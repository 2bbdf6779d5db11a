use super::*;
use jiff::Timestamp;
use knarr_reconcile::fake;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "5000"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "one"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

/// Runs the scheduler over a cluster for a while of paused time.
async fn schedule(cluster: &Cluster, seconds: u64) {
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(cluster.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.cancel();
    running.await.expect("it ends when told");
}

async fn fill(cluster: &Cluster, nodes: &[Value], pods: &[Value]) {
    for node in nodes {
        fake::create(cluster, &Node::resource(), node).await;
    }
    for pod in pods {
        fake::create(cluster, &Pod::resource(), pod).await;
    }
}

fn by_node(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for pod in cluster.shelf.views::<Pod>(None) {
        *counts.entry(pod.spec.node_name.as_deref().unwrap_or_default().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_are_spread_and_never_too_many() {
    let cluster = fake::cluster(Timestamp::UNIX_EPOCH);
    let pods: Vec<_> = (0..1000).map(|index| pod(&format!("p{index}"), "10m")).collect();
    fill(&cluster, &[node("a", "4"), node("b", "4"), node("c", "1")], &pods).await;
    schedule(&cluster, 5).await;
    let counts = by_node(&cluster);
    assert_eq!(counts.get(""), Some(&100), "900 fit: {counts:?}");
    assert_eq!((counts["a"], counts["b"], counts["c"]), (400, 400, 100));
}

#[tokio::test(start_paused = true)]
async fn says_why_and_tries_again_when_a_node_comes() {
    let cluster = fake::cluster(Timestamp::UNIX_EPOCH);
    fill(&cluster, &[node("a", "1")], &[pod("p", "2")]).await;
    schedule(&cluster, 1).await;
    let seen = cluster.shelf.view::<Pod>(&Key::new("one", "p")).unwrap();
    let condition = seen.condition("PodScheduled").expect("it says why");
    assert_eq!((&*condition.status, &*condition.reason), ("False", "Unschedulable"));
    assert!(condition.message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{}", condition.message);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(cluster.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    fill(&cluster, &[node("b", "4")], &[]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    running.await.expect("it ends when told");
    assert_eq!(by_node(&cluster), BTreeMap::from([("b".into(), 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_fails_is_tried_again() {
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let cluster = fake::refusing(Timestamp::UNIX_EPOCH, move |write| {
        let is_binding = write.target.subresource.as_deref() == Some("binding");
        (is_binding && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3).then(|| Status::unavailable("not now"))
    });
    fill(&cluster, &[node("a", "1")], &[pod("p", "1")]).await;
    schedule(&cluster, 10).await;
    assert_eq!(by_node(&cluster), BTreeMap::from([("a".into(), 1)]));
}

#[tokio::test(start_paused = true)]
async fn leaves_alone_what_is_not_its_own() {
    let cluster = fake::cluster(Timestamp::UNIX_EPOCH);
    let with = |name: &str, field: &str, value: Value| {
        let mut pod = pod(name, "1");
        pod["spec"][field] = value;
        pod
    };
    let pods = [
        with("gated", "schedulingGates", json!([{"name": "example.com/g"}])),
        with("other", "schedulerName", json!("mine")),
        with("bound", "nodeName", json!("b")),
    ];
    fill(&cluster, &[node("a", "8")], &pods).await;
    schedule(&cluster, 1).await;
    assert_eq!(by_node(&cluster), BTreeMap::from([("".into(), 2), ("b".into(), 1)]));
}
