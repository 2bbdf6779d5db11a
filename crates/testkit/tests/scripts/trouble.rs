//! What is told of trouble, and how often.
use crate::given;
use knarr_testkit::{Answer, Cluster, Script};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_same_said_again_is_one_event_that_counts() {
    let cluster = Cluster::start().await;
    cluster.answer("web:1", Answer::Status(503));
    let probe = "readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}";
    cluster.apply(&given::pod_with("web", &format!("name: web, image: 'web:1', {probe}"), "")).await;
    cluster.until_told(&["Pod/web Warning Unhealthy x20"]).await;
    let told: Vec<_> = cluster.events().into_iter().filter(|line| line.contains("Unhealthy")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let event = cluster.objects("events").into_iter().find(|event| event["reason"] == "Unhealthy").unwrap();
    let (first, last) = (event["firstTimestamp"].as_str().unwrap(), event["lastTimestamp"].as_str().unwrap());
    let took = last.parse::<jiff::Timestamp>().unwrap().duration_since(first.parse().unwrap());
    assert!((18..=21).contains(&took.as_secs()), "{took:?}");
    assert_eq!(
        (event["involvedObject"]["fieldPath"].as_str(), event["source"]["host"].as_str()),
        (Some("spec.containers{web}"), Some("n1"))
    );
}

#[tokio::test(start_paused = true)]
async fn events_go_after_an_hour() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 1, "web:1").await;
    cluster.until_told(&["Pod/web-", "Started container web"]).await;
    cluster.advance(Duration::from_secs(59 * 60)).await;
    assert!(cluster.events().iter().any(|line| line.contains("Started container web")));
    cluster.advance(Duration::from_secs(2 * 60)).await;
    assert!(!cluster.events().iter().any(|line| line.contains("Started container web")), "{}", cluster.show());
    assert_eq!(cluster.at("deployments/web", "/status/availableReplicas"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_compile_that_takes_long_holds_up_nobody_else() {
    let cluster = Cluster::start().await;
    cluster.guest("slow:1", Script::Slow(Duration::from_secs(90)));
    cluster.apply(&given::pod("slow", "slow:1", "")).await;
    cluster.advance(Duration::from_secs(1)).await;
    let before = cluster.now();
    cluster.apply(&given::pod("fast", "fast:1", "")).await;
    cluster.until("fast is ready", |cluster| cluster.condition("pods/fast", "Ready") == "True").await;
    assert!(cluster.seconds_since(before) < 2);
    assert_eq!(cluster.at("pods/slow", "/status/containerStatuses/0/state/waiting/reason"), "ContainerCreating");
    cluster.until("slow is ready", |cluster| cluster.condition("pods/slow", "Ready") == "True").await;
    assert!((88..=91).contains(&cluster.seconds_since(before)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_still_compiling_can_be_deleted() {
    let cluster = Cluster::start().await;
    cluster.guest("slow:1", Script::Slow(Duration::from_secs(600)));
    cluster.apply(&given::pod("slow", "slow:1", "")).await;
    cluster.until_is("pods/slow", "/status/containerStatuses/0/state/waiting/reason", "ContainerCreating").await;
    let before = cluster.now();
    cluster.delete("pods/slow").await;
    cluster.until_gone("pods/slow").await;
    assert!(cluster.seconds_since(before) <= 2, "{} s", cluster.seconds_since(before));
}
