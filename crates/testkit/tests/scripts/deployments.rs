//! Deployments: coming up, scaling, rolling over and back.
use crate::given;
use knarr_cluster::views::{Pod, ReplicaSet};
use knarr_testkit::{Cluster, PullError, RuntimeError, Script};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_available() {
    let cluster = Cluster::build().nodes(2).start().await;
    given::web(&cluster, 4, "web:1").await;
    cluster.until("the status says so", |cluster| cluster.condition("deployments/web", "Available") == "True").await;
    let pods = cluster.views::<Pod>();
    let nodes: BTreeSet<_> = pods.iter().filter_map(|pod| pod.spec.node_name.clone()).collect();
    assert_eq!((given::available(&pods), nodes.len()), (4, 2), "spread over both nodes\n{}", cluster.show());
    let addresses: BTreeSet<_> = pods.iter().filter_map(|pod| pod.status.pod_ip.clone()).collect();
    assert_eq!(addresses.len(), 4, "each has an address of its own");
    let sets = cluster.views::<ReplicaSet>();
    assert_eq!((sets.len(), sets[0].status.available_replicas), (1, 4));
    for texts in [
        ["Deployment/web", "Normal ScalingReplicaSet", "from 0 to 4"],
        ["Pod/web-", "Normal Scheduled", "Successfully assigned default/web-"],
    ] {
        cluster.until_told(&texts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_as_many_replicas_as_it_is_scaled_to() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    let first: BTreeSet<_> = cluster.views::<Pod>().iter().map(|pod| pod.metadata.uid.clone()).collect();
    // Ages are compared roughly, so they have to differ by much.
    cluster.advance(Duration::from_secs(600)).await;
    cluster.scale("deployments/web", 5).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 5).await;
    let now: BTreeSet<_> = cluster.views::<Pod>().iter().map(|pod| pod.metadata.uid.clone()).collect();
    assert!(first.is_subset(&now), "who was there stays");
    cluster.scale("deployments/web", 1).await;
    cluster.until("one is left", |cluster| cluster.views::<Pod>().len() == 1).await;
    assert!(first.contains(&cluster.views::<Pod>()[0].metadata.uid), "the youngest go first");
    cluster.scale("deployments/web", 0).await;
    cluster.until("none is left", |cluster| cluster.views::<Pod>().is_empty()).await;
    cluster.until("no container is left", |cluster| cluster.nodes().all(|node| node.containers().is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_keeps_enough_of_it_up_at_every_moment() {
    let cluster = Cluster::build().nodes(2).start().await;
    given::web(&cluster, 4, "web:1").await;
    // Slow to come and slow to go: there is time to do it wrong.
    cluster.guest("web:2", Script::Slow(Duration::from_secs(7)));
    cluster.guest("web:1", Script::Drains(Duration::from_secs(3)));
    let mut pods = cluster.history::<Pod>();
    cluster.apply(&given::deployment(4, "web:2")).await;
    cluster
        .until("all are new", |cluster| {
            let pods = cluster.views::<Pod>();
            pods.len() == 4 && given::available(&pods) == 4 && pods.iter().all(|pod| &*pod.spec.containers[0].image == "web:2")
        })
        .await;
    let (mut fewest, mut most) = (usize::MAX, 0);
    pods.replay(|_, pods| {
        let pods: Vec<_> = pods.values().cloned().collect();
        fewest = fewest.min(given::available(&pods));
        most = most.max(pods.iter().filter(|pod| pod.is_live()).count());
    });
    assert_eq!((fewest, most), (3, 5), "one may be missing, and one too many");
    cluster
        .until("the old set is empty", |cluster| {
            let sets = cluster.views::<ReplicaSet>();
            sets.len() == 2 && sets.iter().filter(|set| set.spec.replicas == Some(0) && set.status.replicas == 0).count() == 1
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_never_replaces_what_runs_and_is_rolled_back() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 3, "web:1").await;
    let first: BTreeSet<_> = cluster.views::<Pod>().iter().map(|pod| pod.metadata.uid.clone()).collect();
    cluster.guest("web:2", Script::Fails(RuntimeError::ImportUnsatisfied("wasi:keyvalue/store".into())));
    cluster.patch("deployments/web", json!({"spec": {"progressDeadlineSeconds": 60}})).await;
    cluster.apply(&given::deployment(3, "web:2")).await;
    cluster.until_told(&["Pod/web-", "Warning Failed", "missing import: wasi:keyvalue/store"]).await;
    cluster.until("it does not get on", |cluster| cluster.condition("deployments/web", "Progressing") == "False").await;
    let pods = cluster.views::<Pod>();
    assert_eq!(given::available(&pods), 2, "no more than one is missing\n{}", cluster.show());
    let waiting = pods.iter().filter(|pod| !pod.is_ready()).filter_map(|pod| pod.status.container_statuses[0].state.waiting.clone());
    assert!(waiting.map(|waiting| waiting.reason).all(|reason| &*reason == "ImportUnsatisfied"), "{}", cluster.show());

    cluster.apply(&given::deployment(3, "web:1")).await;
    cluster
        .until("it is rolled back", |cluster| {
            cluster.views::<Pod>().len() == 3 && cluster.condition("deployments/web", "Progressing") == "True"
        })
        .await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 3).await;
    let now: BTreeSet<_> = cluster.views::<Pod>().iter().map(|pod| pod.metadata.uid.clone()).collect();
    assert_eq!(first.intersection(&now).count(), 2, "who still ran was left alone");
    let revisions: BTreeSet<_> =
        cluster.views::<ReplicaSet>().iter().map(|set| set.metadata.annotations["deployment.kubernetes.io/revision"].clone()).collect();
    assert_eq!(revisions, BTreeSet::from(["2".into(), "3".into()]), "going back is a revision of its own");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_waits_for_an_image_that_comes_later() {
    let cluster = Cluster::start().await;
    cluster.image("web:1", Some(PullError::Registry { name: "web:1".into(), why: "manifest unknown".into() }));
    cluster.apply(&given::deployment(1, "web:1")).await;
    let reason = "/status/containerStatuses/0/state/waiting/reason";
    let is = |reason_is: &'static str| {
        move |cluster: &Cluster| cluster.objects("pods").iter().any(|pod| pod.pointer(reason) == Some(&json!(reason_is)))
    };
    cluster.until("the pull has failed", is("ErrImagePull")).await;
    cluster.until("it waits", is("ImagePullBackOff")).await;
    cluster.image("web:1", None);
    cluster.until_is("deployments/web", "/status/availableReplicas", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_recreated_deployment_has_never_two_versions() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 3, "web:1").await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(5)));
    cluster.patch("deployments/web", json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})).await;
    let mut pods = cluster.history::<Pod>();
    cluster.patch("deployments/web", json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}})).await;
    cluster
        .until("all are new", |cluster| {
            let pods = cluster.views::<Pod>();
            given::available(&pods) == 3 && pods.iter().all(|pod| &*pod.spec.containers[0].image == "web:2")
        })
        .await;
    pods.replay(|revision, pods| {
        let images: BTreeSet<_> = pods.values().filter(|pod| !pod.is_terminal()).map(|pod| pod.spec.containers[0].image.clone()).collect();
        assert!(images.len() <= 1, "both at {revision}: {images:?}");
    });
}
