//! What a cluster costs: how much is written when nothing happens, and when much happens at once.
use crate::given;
use knarr_cluster::views::{EndpointSlice, Lease, Node, Pod};
use knarr_testkit::Cluster;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_writes_leases_and_heartbeats_and_nothing_else() {
    let cluster = Cluster::build().nodes(2).start().await;
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 6, "web:1").await;
    // By then all events of the beginning have expired.
    cluster.advance(2 * HOUR).await;
    let before = cluster.parts().shelf.revision().0;
    let (mut leases, mut nodes) = (0, 0);
    // The shelf keeps five minutes of changes.
    for _ in 0..15 {
        let (mut of_leases, mut of_nodes) = (cluster.history::<Lease>(), cluster.history::<Node>());
        cluster.advance(HOUR / 15).await;
        of_leases.replay(|_, _| leases += 1);
        of_nodes.replay(|_, _| nodes += 1);
    }
    let all = cluster.parts().shelf.revision().0 - before;
    assert_eq!(all, leases + nodes, "only those two\n{}", cluster.show());
    assert!((718..=722).contains(&leases), "each node every 10 s: {leases}");
    assert!((22..=26).contains(&nodes), "each node every 5 min: {nodes}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_pods_is_a_few_writes_of_endpoint_slices_and_few_of_each_pod() {
    let cluster = Cluster::build().nodes(2).start().await;
    cluster.apply(given::SERVICE).await;
    let (mut slices, mut pods) = (cluster.history::<EndpointSlice>(), cluster.history::<Pod>());
    given::web(&cluster, 60, "web:1").await;
    let count = |cluster: &Cluster| {
        cluster.views::<EndpointSlice>().iter().filter(|s| s.service_name() == Some("web")).map(|s| s.endpoints.len()).sum::<usize>()
    };
    cluster.until("all are routed", |cluster| count(cluster) == 60).await;
    cluster.advance(Duration::from_secs(10)).await;
    let (mut of_slices, mut of_pods) = (0, 0);
    slices.replay(|_, _| of_slices += 1);
    pods.replay(|_, _| of_pods += 1);
    assert!(of_slices <= 15, "{of_slices}");
    assert!(of_pods <= 60 * 4, "created, bound, and its status once or twice: {of_pods}");
}
