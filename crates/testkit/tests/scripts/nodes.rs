//! Nodes that fall silent, come back, come late, and agents that are started again.
use crate::given;
use knarr_cluster::views::{Pod, Taint};
use knarr_testkit::Cluster;
use serde_json::json;
use std::time::Duration;

/// The taints of a node, as `key:effect`.
fn taints(cluster: &Cluster, node: &str) -> Vec<String> {
    let taints: Vec<Taint> = serde_json::from_value(cluster.at(&format!("nodes/{node}"), "/spec/taints")).unwrap_or_default();
    let mut said: Vec<_> =
        taints.iter().map(|taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect)).collect();
    said.sort();
    said
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_unknown_and_tainted_and_comes_back() {
    let cluster = Cluster::build().nodes(2).start().await;
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 2, "web:1").await;
    let lost = cluster.views::<Pod>().iter().find(|pod| pod.spec.node_name.as_deref() == Some("n1")).unwrap().metadata.name.to_string();
    let lost = format!("pods/{lost}");
    cluster.advance(Duration::from_secs(60)).await;
    let before = cluster.now();
    cluster.node("n1").silence();
    cluster.until("it is Unknown", |cluster| cluster.condition("nodes/n1", "Ready") == "Unknown").await;
    assert!((30..=51).contains(&cluster.seconds_since(before)), "after 40 s without a sign: {}", cluster.seconds_since(before));
    cluster.until("it is tainted", |cluster| taints(cluster, "n1") == ["unreachable:NoExecute", "unreachable:NoSchedule"]).await;
    cluster.until("its pods take no traffic", |cluster| cluster.condition(&lost, "Ready") == "False").await;
    cluster.until_told(&["Node/n1 Normal NodeNotReady"]).await;
    assert_eq!((cluster.condition("nodes/n2", "Ready").as_str(), taints(&cluster, "n2")), ("True", vec![]));
    // Nothing new is put there.
    cluster.scale("deployments/web", 4).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 3).await;
    assert_eq!(cluster.views::<Pod>().iter().filter(|pod| pod.spec.node_name.as_deref() == Some("n1")).count(), 1, "{}", cluster.show());

    cluster.node("n1").hear();
    cluster.until("it is Ready", |cluster| cluster.condition("nodes/n1", "Ready") == "True").await;
    cluster.until("it has no taint", |cluster| taints(cluster, "n1").is_empty()).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 4).await;
    assert_eq!(
        (cluster.condition(&lost, "Ready").as_str(), cluster.at(&lost, "/status/containerStatuses/0/restartCount")),
        ("True", json!(0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_is_placed_when_a_node_comes() {
    let mut cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "nodeSelector: {disk: fast}")).await;
    cluster
        .until_told(&["Pod/web Warning FailedScheduling", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector"])
        .await;
    assert_eq!(
        (cluster.condition("pods/web", "PodScheduled").as_str(), cluster.at("pods/web", "/status/phase")),
        ("False", json!("Pending"))
    );
    cluster.add_node("slow", &[("disk", "slow")]).await;
    cluster.advance(Duration::from_secs(30)).await;
    assert!(cluster.at("pods/web", "/spec/nodeName").is_null());
    cluster.add_node("fast", &[("disk", "fast")]).await;
    let before = cluster.now();
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    assert_eq!(cluster.at("pods/web", "/spec/nodeName"), "fast");
    assert!(cluster.seconds_since(before) <= 10, "{} s", cluster.seconds_since(before));
}

#[tokio::test(start_paused = true)]
async fn without_a_node_pods_wait() {
    let mut cluster = Cluster::build().nodes(0).start().await;
    cluster.apply(&given::deployment(2, "web:1")).await;
    cluster.until_told(&["Warning FailedScheduling", "no nodes available to schedule pods"]).await;
    cluster.add_node("n1", &[]).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 2).await;
    assert!(!cluster.events().iter().any(|line| line.contains("Too many pods")), "a node has room from its first moment on");
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() {
    let cluster = Cluster::build().nodes(2).start().await;
    given::web(&cluster, 2, "web:1").await;
    cluster.patch("nodes/n1", json!({"spec": {"unschedulable": true}})).await;
    cluster.until("it is tainted", |cluster| taints(cluster, "n1") == ["unschedulable:NoSchedule"]).await;
    cluster.scale("deployments/web", 5).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 5).await;
    let on = |node: &str| cluster.views::<Pod>().iter().filter(|pod| pod.spec.node_name.as_deref() == Some(node)).count();
    assert_eq!((on("n1"), on("n2")), (1, 4));
    cluster.patch("nodes/n1", json!({"spec": {"unschedulable": null}})).await;
    cluster.until("it has no taint", |cluster| taints(cluster, "n1").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_started_again_adopts_what_runs() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 3, "web:1").await;
    let node = cluster.node("n1");
    let ids = || node.containers().iter().map(knarr_runtime::Container::id).collect::<Vec<_>>();
    let (before, mut pods) = (ids(), cluster.history::<Pod>());
    node.stop_agent().await;
    cluster.advance(Duration::from_secs(15)).await;
    node.start_agent();
    cluster.advance(Duration::from_secs(60)).await;
    assert_eq!(ids(), before, "the same containers");
    pods.replay(|revision, _| panic!("the status of a pod was written for nothing, at {revision}"));
    // It looks after them.
    let one = cluster.views::<Pod>()[0].metadata.name.to_string();
    cluster.crash(&one, 1).await;
    cluster.until_is(&format!("pods/{one}"), "/status/containerStatuses/0/restartCount", 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_makes_up_for_what_it_missed() {
    let cluster = Cluster::start().await;
    for name in ["crashed", "deleted", "kept"] {
        cluster.apply(&given::pod(name, "web:1", "")).await;
    }
    cluster.until("all are ready", |cluster| given::available(&cluster.views::<Pod>()) == 3).await;
    cluster.node("n1").stop_agent().await;
    cluster.crash("crashed", 7).await;
    cluster.delete("pods/deleted").await;
    cluster.apply(&given::pod("new", "web:1", "")).await;
    cluster.advance(Duration::from_secs(5)).await;
    assert!(cluster.get("pods/deleted").is_some(), "nobody has stopped it yet");
    cluster.node("n1").start_agent();
    cluster.until_gone("pods/deleted").await;
    cluster.until_is("pods/crashed", "/status/containerStatuses/0/restartCount", 1).await;
    assert_eq!(cluster.at("pods/crashed", "/status/containerStatuses/0/lastState/terminated/exitCode"), 7);
    cluster.until("all are ready", |cluster| given::available(&cluster.views::<Pod>()) == 3).await;
    assert_eq!(cluster.at("pods/kept", "/status/containerStatuses/0/restartCount"), 0);
    assert_eq!(cluster.node("n1").containers().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_is_gone_for_good_are_replaced_elsewhere() {
    let cluster = Cluster::build().nodes(2).start().await;
    given::web(&cluster, 2, "web:1").await;
    cluster.node("n1").silence();
    cluster.delete("nodes/n1").await;
    cluster
        .until("both are on n2", |cluster| {
            let pods = cluster.views::<Pod>();
            pods.len() == 2 && given::available(&pods) == 2 && pods.iter().all(|pod| pod.spec.node_name.as_deref() == Some("n2"))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_started_again_goes_on_where_it_was() {
    let mut cluster = Cluster::build().nodes(2).start().await;
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 4, "web:1").await;
    let ids = |cluster: &Cluster| cluster.nodes().flat_map(|node| node.containers()).map(|container| container.id()).collect::<Vec<_>>();
    let (before, revision) = (ids(&cluster), cluster.parts().shelf.revision());
    cluster.restart().await;
    assert!(cluster.parts().shelf.revision() >= revision, "all that was acknowledged is there");
    let mut pods = cluster.history::<Pod>();
    cluster.advance(Duration::from_secs(100)).await;
    assert_eq!(ids(&cluster), before, "no container was touched");
    pods.replay(|revision, _| panic!("a pod was written for nothing, at {revision}\n{}", cluster.show()));
    assert_eq!((cluster.condition("nodes/n1", "Ready").as_str(), taints(&cluster, "n1")), ("True", vec![]));
    // And what stood in the middle of something gets there.
    cluster.apply(&given::deployment(6, "web:2")).await;
    cluster.restart().await;
    cluster
        .until("all are new", |cluster| {
            let pods = cluster.views::<Pod>();
            pods.len() == 6 && given::available(&pods) == 6 && pods.iter().all(|pod| &*pod.spec.containers[0].image == "web:2")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_under_a_living_agent_comes_back_with_its_pods() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    let uid = cluster.at("nodes/n1", "/metadata/uid");
    let mut pods = cluster.history::<Pod>();
    cluster.delete("nodes/n1").await;
    cluster.until("it is registered again", |cluster| cluster.condition("nodes/n1", "Ready") == "True").await;
    assert_ne!(cluster.at("nodes/n1", "/metadata/uid"), uid);
    cluster.advance(Duration::from_secs(120)).await;
    pods.replay(|revision, pods| assert_eq!(given::available(&pods.values().cloned().collect::<Vec<_>>()), 2, "at {revision}"));
    cluster.scale("deployments/web", 3).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 3).await;
}
