//! Who gets requests: what readiness and deletion do to EndpointSlices.
use crate::given;
use knarr_cluster::views::{Endpoint, EndpointSlice};
use knarr_testkit::{Answer, Cluster, Script};
use std::time::Duration;

/// The endpoints of the Service `web`, as `ready serving terminating`, each sign a letter where it is so.
fn endpoints(cluster: &Cluster) -> Vec<String> {
    let mut said: Vec<_> = of_web(cluster).iter().map(conditions).collect();
    said.sort();
    said
}

fn of_web(cluster: &Cluster) -> Vec<Endpoint> {
    let slices = cluster.views::<EndpointSlice>();
    slices.iter().filter(|slice| slice.service_name() == Some("web")).flat_map(|slice| slice.endpoints.to_vec()).collect()
}

fn conditions(endpoint: &Endpoint) -> String {
    let said = &endpoint.conditions;
    let signs = [(said.ready, 'r'), (said.serving, 's'), (said.terminating, 't')];
    signs.iter().map(|(is_so, sign)| if *is_so == Some(true) { *sign } else { '-' }).collect()
}

async fn until(cluster: &Cluster, expected: &[&str]) {
    cluster.until(&format!("endpoints are {expected:?}"), |cluster| endpoints(cluster) == expected).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_leaves_and_joins() {
    let cluster = Cluster::start().await;
    cluster.apply(given::SERVICE).await;
    let probe = "readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}";
    cluster.answer_of("default/a", Answer::Status(503));
    for name in ["a", "b"] {
        cluster.apply(&given::pod_with(name, &format!("name: web, image: 'web:1', {probe}"), "")).await;
    }
    until(&cluster, &["---", "rs-"]).await;
    cluster.answer_of("default/a", Answer::Status(204));
    until(&cluster, &["rs-", "rs-"]).await;
    cluster.answer_of("default/b", Answer::Refuses);
    until(&cluster, &["---", "rs-"]).await;
    cluster.advance(Duration::from_secs(60)).await;
    assert_eq!(cluster.at("pods/b", "/status/containerStatuses/0/restartCount"), 0, "readiness restarts nobody");
    cluster.answer_of("default/b", Answer::Status(200));
    until(&cluster, &["rs-", "rs-"]).await;
    let addresses: Vec<_> = of_web(&cluster).iter().map(|endpoint| endpoint.addresses[0].clone()).collect();
    for name in ["a", "b"] {
        let address = cluster.at(&format!("pods/{name}"), "/status/podIP");
        assert!(addresses.iter().any(|one| address == **one), "{name} is at {address}: {addresses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_unrouted_before_it_is_stopped_and_stays_until_it_has_drained() {
    let cluster = Cluster::start().await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(5)));
    cluster.apply(given::SERVICE).await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    until(&cluster, &["rs-"]).await;
    let before = cluster.now();
    cluster.delete("pods/web").await;
    until(&cluster, &["-st"]).await;
    assert_eq!(cluster.running("web").await.len(), 1, "it runs while anybody may still send it requests");
    assert!(!cluster.events().iter().any(|line| line.contains("Killing")), "nobody told it to stop");
    cluster.until_told(&["Pod/web Normal Killing", "Stopping container web"]).await;
    assert_eq!(cluster.running("web").await.len(), 1, "it drains");
    assert!(!cluster.at("pods/web", "/metadata/deletionTimestamp").is_null());
    cluster.until_gone("pods/web").await;
    assert!((5..7).contains(&cluster.seconds_since(before)), "{} s", cluster.seconds_since(before));
    until(&cluster, &[]).await;
    cluster.until("nothing of it is left", |cluster| cluster.node("n1").containers().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_in_its_grace_is_ended() {
    let cluster = Cluster::start().await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(1000)));
    cluster.apply(&given::pod("web", "web:1", "terminationGracePeriodSeconds: 12")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    let before = cluster.now();
    cluster.delete("pods/web").await;
    cluster.until_gone("pods/web").await;
    assert!((12..14).contains(&cluster.seconds_since(before)), "{} s", cluster.seconds_since(before));
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_leaves_the_service_never_without_an_endpoint() {
    let cluster = Cluster::build().nodes(2).start().await;
    let probe = serde_json::json!({"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "initialDelaySeconds": 3});
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 2, "web:1").await;
    until(&cluster, &["rs-", "rs-"]).await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(2)));
    let mut slices = cluster.history::<EndpointSlice>();
    let container = serde_json::json!({"name": "web", "image": "web:2", "readinessProbe": probe});
    let template = serde_json::json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    cluster.patch("deployments/web", template).await;
    cluster.until_is("deployments/web", "/status/updatedReplicas", 2).await;
    cluster
        .until("it has rolled", |cluster| cluster.condition("deployments/web", "Available") == "True" && cluster.objects("pods").len() == 2)
        .await;
    until(&cluster, &["rs-", "rs-"]).await;
    slices.replay(|revision, slices| {
        let of_web = slices.values().filter(|slice| slice.service_name() == Some("web"));
        let ready = of_web.flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.conditions.ready == Some(true)).count();
        assert!(ready >= 1, "at {revision}");
    });
}
