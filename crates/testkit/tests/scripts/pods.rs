//! Lives of single pods that take an unusual turn.
use crate::given;
use knarr_cluster::{Options, views::Pod};
use knarr_testkit::{Cluster, PullError, Script};
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn init_containers_run_one_after_the_other_and_then_the_others() {
    let cluster = Cluster::start().await;
    cluster.guest("first:1", Script::Exits { code: 0 });
    let inits = "initContainers: [{name: first, image: 'first:1'}, {name: second, image: 'second:1'}]";
    cluster.apply(&given::pod("web", "web:1", inits)).await;
    cluster
        .until("the second one runs", |cluster| !cluster.at("pods/web", "/status/initContainerStatuses/1/state/running").is_null())
        .await;
    cluster.advance(Duration::from_secs(30)).await;
    assert_eq!(cluster.running("web").await.len(), 1, "it runs alone");
    assert_eq!(cluster.at("pods/web", "/status/containerStatuses/0/state/waiting/reason"), "PodInitializing");
    assert_eq!(
        (cluster.condition("pods/web", "Initialized").as_str(), cluster.at("pods/web", "/status/phase")),
        ("False", json!("Pending"))
    );
    cluster.crash("web", 0).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    assert_eq!(cluster.condition("pods/web", "Initialized"), "True");
}

#[tokio::test(start_paused = true)]
async fn a_failed_init_container_fails_a_pod_that_is_not_restarted() {
    let cluster = Cluster::start().await;
    cluster.guest("init:1", Script::Exits { code: 9 });
    cluster.apply(&given::pod("job", "web:1", "restartPolicy: Never, initContainers: [{name: init, image: 'init:1'}]")).await;
    cluster.until_is("pods/job", "/status/phase", "Failed").await;
    assert_eq!(cluster.at("pods/job", "/status/initContainerStatuses/0/state/terminated/exitCode"), 9);
    assert!(cluster.running("job").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_pod() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("job", "job:1", "activeDeadlineSeconds: 90")).await;
    cluster.until_is("pods/job", "/status/phase", "Running").await;
    let before = cluster.now();
    cluster.until_is("pods/job", "/status/phase", "Failed").await;
    assert!((89..=92).contains(&cluster.seconds_since(before)), "{} s", cluster.seconds_since(before));
    assert_eq!(cluster.at("pods/job", "/status/reason"), "DeadlineExceeded");
    cluster.until("its container has ended", |cluster| cluster.at("pods/job", "/status/containerStatuses/0/state/running").is_null()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_never_placed_goes_at_once() {
    let cluster = Cluster::build().nodes(0).start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.until_told(&["FailedScheduling"]).await;
    cluster.delete("pods/web").await;
    assert!(cluster.get("pods/web").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_by_force_behind_a_silent_nodes_back_is_stopped() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    cluster.node("n1").stop_agent().await;
    cluster.delete_with("pods/web", Options { grace_period_seconds: Some(0), ..Options::default() }).await;
    assert!(cluster.get("pods/web").is_none(), "nobody is asked");
    // Another pod takes the name: the node has to tell them apart.
    cluster.apply(&given::pod("web", "web:2", "")).await;
    cluster.node("n1").start_agent();
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    let images = || cluster.node("n1").containers().iter().map(|container| container.image.digest.clone()).collect::<Vec<_>>();
    cluster.until("only the new one is left", |_| images() == ["sha256:web:2"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_holds_a_pod_that_has_ended() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.patch("pods/web", json!({"metadata": {"finalizers": ["example.com/wait"]}})).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    cluster.delete("pods/web").await;
    cluster.until("its container is gone", |cluster| cluster.node("n1").containers().is_empty()).await;
    cluster.advance(Duration::from_secs(120)).await;
    assert!(cluster.get("pods/web").is_some(), "somebody wants to see it");
    cluster.patch("pods/web", json!({"metadata": {"finalizers": null}})).await;
    cluster.until_gone("pods/web").await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_on_three_nodes_come_and_go() {
    let cluster = Cluster::build().nodes(3).start().await;
    given::web(&cluster, 100, "web:1").await;
    let on = |node: &str| cluster.views::<Pod>().iter().filter(|pod| pod.spec.node_name.as_deref() == Some(node)).count();
    let spread = [on("n1"), on("n2"), on("n3")];
    assert!(spread.iter().all(|count| (30..=37).contains(count)), "evenly: {spread:?}");
    cluster.delete("deployments/web").await;
    cluster.until("all are gone", |cluster| cluster.views::<Pod>().is_empty()).await;
    cluster.until("no container is left", |cluster| cluster.nodes().all(|node| node.containers().is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_two_containers_that_ends_makes_the_pod_unready_and_leaves_the_other_alone() {
    let cluster = Cluster::start().await;
    cluster.guest("job:1", Script::Exits { code: 1 });
    let both = "name: web, image: 'web:1', ports: [{containerPort: 80}]}, {name: job, image: 'job:1'";
    cluster.apply(&given::pod_with("web", both, "")).await;
    cluster.until_is("pods/web", "/status/containerStatuses/1/restartCount", 3).await;
    let web = "/status/containerStatuses/0";
    let names: Vec<_> = [0, 1].map(|index| cluster.at("pods/web", &format!("/status/containerStatuses/{index}/name"))).into();
    assert_eq!(names, ["web", "job"], "in the order of the spec");
    assert_eq!(
        (cluster.at("pods/web", &format!("{web}/restartCount")), cluster.at("pods/web", &format!("{web}/ready"))),
        (json!(0), json!(true))
    );
    assert_eq!((cluster.condition("pods/web", "Ready").as_str(), cluster.at("pods/web", "/status/phase")), ("False", json!("Running")));
}

#[tokio::test(start_paused = true)]
async fn who_waits_after_a_failure_can_be_deleted_at_once() {
    let cluster = Cluster::start().await;
    cluster.guest("crash:1", Script::Exits { code: 1 });
    cluster.image("lost:1", Some(PullError::Registry { name: "lost:1".into(), why: "manifest unknown".into() }));
    for (image, reason) in [("crash:1", "CrashLoopBackOff"), ("lost:1", "ImagePullBackOff")] {
        cluster.apply(&given::pod("web", image, "")).await;
        cluster.until_is("pods/web", "/status/containerStatuses/0/state/waiting/reason", reason).await;
        let before = cluster.now();
        cluster.delete("pods/web").await;
        cluster.until_gone("pods/web").await;
        assert!(cluster.seconds_since(before) <= 1, "{reason}: {} s", cluster.seconds_since(before));
    }
    cluster.until("nothing is left", |cluster| cluster.node("n1").containers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_names_its_node_needs_no_scheduler() {
    let cluster = Cluster::build().nodes(2).without_scheduler().start().await;
    cluster.apply(&given::pod("web", "web:1", "nodeName: n2")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    assert_eq!((cluster.node("n1").containers().len(), cluster.node("n2").containers().len()), (0, 1));
    cluster.apply(&given::pod("other", "web:1", "")).await;
    cluster.advance(Duration::from_secs(60)).await;
    assert!(cluster.at("pods/other", "/spec/nodeName").is_null(), "nobody places it");
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_an_end_is_told() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    cluster.end("web", 137, "OOMKilled", "memory limit of 64 MiB reached").await;
    cluster.until_is("pods/web", "/status/containerStatuses/0/restartCount", 1).await;
    let last = cluster.at("pods/web", "/status/containerStatuses/0/lastState/terminated");
    assert_eq!(
        (&last["reason"], &last["exitCode"], &last["message"]),
        (&json!("OOMKilled"), &json!(137), &json!("memory limit of 64 MiB reached"))
    );
}
