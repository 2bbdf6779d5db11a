//! The finer points of rollouts.
use crate::given;
use knarr_cluster::views::{Pod, ReplicaSet};
use knarr_testkit::{Cluster, Script};
use serde_json::json;
use std::time::Duration;

fn image(image: &str) -> serde_json::Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

fn all_are(cluster: &Cluster, replicas: usize, image: &str) -> bool {
    let pods = cluster.views::<Pod>();
    pods.len() == replicas && given::available(&pods) == replicas && pods.iter().all(|pod| &*pod.spec.containers[0].image == image)
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    cluster.patch("deployments/web", json!({"spec": {"paused": true}})).await;
    cluster.patch("deployments/web", image("web:2")).await;
    cluster.scale("deployments/web", 3).await;
    cluster.until("it is scaled", |cluster| all_are(cluster, 3, "web:1")).await;
    cluster.advance(Duration::from_secs(60)).await;
    assert!(all_are(&cluster, 3, "web:1"), "{}", cluster.show());
    cluster.patch("deployments/web", json!({"spec": {"paused": false}})).await;
    cluster.until("it has rolled", |cluster| all_are(cluster, 3, "web:2")).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_counts_once_it_was_ready_for_long_enough() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    cluster
        .patch(
            "deployments/web",
            json!({"spec": {"minReadySeconds": 20, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}}),
        )
        .await;
    let before = cluster.now();
    cluster.patch("deployments/web", image("web:2")).await;
    cluster.until_is("deployments/web", "/status/updatedReplicas", 1).await;
    cluster.until_is("deployments/web", "/status/updatedReplicas", 2).await;
    assert!((20..=22).contains(&cluster.seconds_since(before)), "the first has to prove itself: {}", cluster.seconds_since(before));
    cluster.until("it has rolled", |cluster| all_are(cluster, 2, "web:2")).await;
    assert!((40..=44).contains(&cluster.seconds_since(before)), "and so has the second: {}", cluster.seconds_since(before));
}

#[tokio::test(start_paused = true)]
async fn old_sets_are_kept_up_to_a_number() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 1, "web:0").await;
    cluster.patch("deployments/web", json!({"spec": {"revisionHistoryLimit": 2}})).await;
    for round in 1..=5 {
        let name = format!("web:{round}");
        cluster.patch("deployments/web", image(&name)).await;
        cluster.until("it has rolled", |cluster| all_are(cluster, 1, &name)).await;
    }
    cluster.until("two old ones are left", |cluster| cluster.views::<ReplicaSet>().len() == 3).await;
    cluster.advance(Duration::from_secs(60)).await;
    let mut revisions: Vec<_> =
        cluster.views::<ReplicaSet>().iter().map(|set| set.metadata.annotations["deployment.kubernetes.io/revision"].clone()).collect();
    revisions.sort();
    assert_eq!(revisions, ["4".into(), "5".into(), "6".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_overtaken_ends_at_the_last_word() {
    let cluster = Cluster::build().nodes(2).start().await;
    given::web(&cluster, 4, "web:1").await;
    cluster.guest("web:2", Script::Slow(Duration::from_secs(30)));
    cluster.patch("deployments/web", image("web:2")).await;
    cluster.advance(Duration::from_secs(5)).await;
    let mut pods = cluster.history::<Pod>();
    cluster.scale("deployments/web", 6).await;
    cluster.patch("deployments/web", image("web:3")).await;
    cluster.until("the last one is there", |cluster| all_are(cluster, 6, "web:3")).await;
    pods.replay(|revision, pods| {
        let pods: Vec<_> = pods.values().cloned().collect();
        assert!(given::available(&pods) >= 3, "at {revision}: never fewer than there were");
    });
}
