//! Who belongs to whom: adoption, release, and what a selector takes in.
use crate::given;
use knarr_cluster::views::{EndpointSlice, Pod, ReplicaSet};
use knarr_testkit::Cluster;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_pod_whose_label_changes_is_released_and_replaced() {
    let cluster = Cluster::start().await;
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 2, "web:1").await;
    let one = cluster.views::<Pod>()[0].metadata.name.to_string();
    cluster.patch(&format!("pods/{one}"), json!({"metadata": {"labels": {"app": "quarantine"}}})).await;
    cluster.until("another one is there", |cluster| given::available(&cluster.views::<Pod>()) == 3).await;
    cluster
        .until("it is free", |cluster| cluster.at(&format!("pods/{one}"), "/metadata/ownerReferences").as_array().is_none_or(Vec::is_empty))
        .await;
    let is_endpoint = |cluster: &Cluster, name: &str| {
        let slices = cluster.views::<EndpointSlice>();
        slices
            .iter()
            .flat_map(|slice| &slice.endpoints)
            .any(|endpoint| endpoint.target_ref.as_ref().is_some_and(|target| *target.name == *name))
    };
    cluster.until("it gets no requests", |cluster| !is_endpoint(cluster, &one)).await;
    // Back again it is one too many.
    cluster.patch(&format!("pods/{one}"), json!({"metadata": {"labels": {"app": "web"}}})).await;
    cluster.until("two are left", |cluster| cluster.views::<Pod>().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_endpoints_of_a_service_follow_its_selector_and_go_with_it() {
    let cluster = Cluster::start().await;
    cluster.apply(given::SERVICE).await;
    given::web(&cluster, 2, "web:1").await;
    let endpoints = |cluster: &Cluster| {
        let slices = cluster.views::<EndpointSlice>();
        slices.iter().filter(|slice| slice.service_name() == Some("web")).map(|slice| slice.endpoints.len()).sum::<usize>()
    };
    cluster.until("it has two", |cluster| endpoints(cluster) == 2).await;
    let mirrored = |cluster: &Cluster| cluster.at("endpoints/web", "/subsets/0/addresses").as_array().map_or(0, Vec::len);
    cluster.until("the older object too", |cluster| mirrored(cluster) == 2).await;
    cluster.patch("services/web", json!({"spec": {"selector": {"app": "other"}}})).await;
    cluster.until("it has none", |cluster| endpoints(cluster) == 0 && mirrored(cluster) == 0).await;
    cluster.delete("services/web").await;
    let is_left = |cluster: &Cluster| {
        cluster.views::<EndpointSlice>().iter().any(|slice| slice.service_name() == Some("web")) || cluster.get("endpoints/web").is_some()
    };
    cluster.until("nothing of it is left", |cluster| !is_left(cluster)).await;
}

#[tokio::test(start_paused = true)]
async fn every_namespace_has_an_account_and_the_clusters_certificate() {
    let cluster = Cluster::start().await;
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
    for object in ["serviceaccounts/shop/default", "configmaps/shop/kube-root-ca.crt", "serviceaccounts/default"] {
        cluster.until(object, |cluster| cluster.get(object).is_some()).await;
    }
    cluster.delete("serviceaccounts/shop/default").await;
    cluster.until("it is made again", |cluster| cluster.get("serviceaccounts/shop/default").is_some()).await;
    let pem = cluster.at("configmaps/shop/kube-root-ca.crt", "/data/ca.crt");
    cluster.patch("configmaps/shop/kube-root-ca.crt", json!({"data": {"ca.crt": "forged"}})).await;
    cluster.until_is("configmaps/shop/kube-root-ca.crt", "/data/ca.crt", pem).await;
}

#[tokio::test(start_paused = true)]
async fn a_set_deleted_under_its_deployment_is_made_again() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    let set = cluster.views::<ReplicaSet>()[0].metadata.clone();
    cluster.delete(&format!("replicasets/{}", set.name)).await;
    cluster
        .until("another set has two", |cluster| {
            let sets = cluster.views::<ReplicaSet>();
            sets.len() == 1
                && sets[0].metadata.uid != set.uid
                && sets[0].status.available_replicas == 2
                && cluster.views::<Pod>().len() == 2
        })
        .await;
}
