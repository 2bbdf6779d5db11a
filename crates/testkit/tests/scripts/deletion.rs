//! What goes with what: namespaces, owners and their dependents.
use crate::given;
use knarr_cluster::{
    Propagation, View,
    views::{Deployment, Pod, ReplicaSet},
};
use knarr_machinery::Revision;
use knarr_testkit::{Cluster, History, Script};
use serde_json::json;
use std::time::Duration;

/// When the last object of a collection went.
fn emptied<V: View>(mut history: History<V>) -> Revision {
    let mut at = None;
    history.replay(|revision, objects| at = objects.is_empty().then_some(revision));
    at.expect("it is empty in the end")
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(4)));
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
    cluster.apply_in("shop", &given::deployment(3, "web:1")).await;
    cluster.apply_in("shop", given::SERVICE).await;
    for kind in ["ConfigMap", "Secret"] {
        cluster.apply_in("shop", &format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: settings}}}}")).await;
    }
    given::web(&cluster, 1, "web:1").await;
    cluster.until_is("deployments/shop/web", "/status/availableReplicas", 3).await;
    cluster.delete("namespaces/shop").await;
    assert_eq!(cluster.at("namespaces/shop", "/status/phase"), "Terminating");
    cluster.until_gone("namespaces/shop").await;
    assert_eq!(cluster.everything_in("shop"), [""; 0]);
    cluster.until("their containers are gone", |cluster| cluster.node("n1").containers().len() == 1).await;
    assert_eq!(cluster.at("deployments/web", "/status/availableReplicas"), 1, "the others are left alone");
    // The name is free again.
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
    cluster.apply_in("shop", &given::deployment(1, "web:1")).await;
    cluster.until_is("deployments/shop/web", "/status/availableReplicas", 1).await;
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_in_the_background() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 3, "web:1").await;
    let (owner, pods) = (cluster.history::<Deployment>(), cluster.history::<Pod>());
    cluster.delete_by("deployments/web", Propagation::Background).await;
    assert!(cluster.get("deployments/web").is_none(), "the owner goes at once");
    cluster.until("all is gone", |cluster| cluster.views::<ReplicaSet>().is_empty() && cluster.views::<Pod>().is_empty()).await;
    assert!(emptied(owner) < emptied(pods));
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let cluster = Cluster::start().await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(5)));
    given::web(&cluster, 3, "web:1").await;
    let (owner, sets, pods) = (cluster.history::<Deployment>(), cluster.history::<ReplicaSet>(), cluster.history::<Pod>());
    let before = cluster.now();
    cluster.delete_by("deployments/web", Propagation::Foreground).await;
    assert_eq!(cluster.at("deployments/web", "/metadata/finalizers/0"), "foregroundDeletion");
    cluster.until_gone("deployments/web").await;
    assert!(cluster.seconds_since(before) >= 5, "it waited for its pods to drain");
    let (pods, sets, owner) = (emptied(pods), emptied(sets), emptied(owner));
    assert!(pods < sets && sets < owner, "{pods} {sets} {owner}");
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_are_adopted_again() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 2, "web:1").await;
    let set = cluster.views::<ReplicaSet>()[0].metadata.name.clone();
    let mut pods = cluster.history::<Pod>();
    cluster.delete_by("deployments/web", Propagation::Orphan).await;
    cluster.until_gone("deployments/web").await;
    cluster.advance(Duration::from_secs(60)).await;
    let owners = cluster.at(&format!("replicasets/{set}"), "/metadata/ownerReferences");
    assert!(owners.as_array().is_none_or(Vec::is_empty), "{owners}");
    cluster.apply(&given::deployment(2, "web:1")).await;
    cluster.until_is(&format!("replicasets/{set}"), "/metadata/ownerReferences/0/kind", "Deployment").await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 2).await;
    assert_eq!(cluster.views::<ReplicaSet>().len(), 1, "{}", cluster.show());
    pods.replay(|revision, pods| assert!(pods.len() == 2 && pods.values().all(|pod| pod.is_ready()), "nobody noticed, at {revision}"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_is_replaced() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 1, "web:1").await;
    let first = given::only_pod(&cluster);
    cluster.delete(&format!("pods/{first}")).await;
    cluster.until_gone(&format!("pods/{first}")).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 1).await;
    cluster.until("another is there", |cluster| cluster.views::<Pod>().len() == 1).await;
    assert_ne!(given::only_pod(&cluster), first);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_waits_for_what_a_finalizer_holds() {
    let cluster = Cluster::start().await;
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: shop, finalizers: [example.com/wait]}}").await;
    cluster.delete("namespaces/shop").await;
    cluster
        .until("it says what it waits for", |cluster| cluster.condition("namespaces/shop", "NamespaceFinalizersRemaining") == "True")
        .await;
    let refused = cluster.try_create("configmaps/shop/new", &json!({"metadata": {"name": "new"}})).await.unwrap_err();
    assert!(refused.message.contains("because it is being terminated"), "{refused}");
    cluster.advance(Duration::from_secs(120)).await;
    assert_eq!(cluster.everything_in("shop"), ["configmaps/shop/held"]);
    cluster.patch("configmaps/shop/held", json!({"metadata": {"finalizers": null}})).await;
    cluster.until_gone("namespaces/shop").await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_deleted_and_made_again_at_once_is_another_one() {
    let cluster = Cluster::start().await;
    cluster.guest("web:1", Script::Drains(Duration::from_secs(3)));
    given::web(&cluster, 2, "web:1").await;
    let old: Vec<_> = cluster.views::<Pod>().iter().map(|pod| pod.metadata.uid.clone()).collect();
    cluster.delete("deployments/web").await;
    cluster.apply(&given::deployment(2, "web:1")).await;
    cluster
        .until("two new ones are there and no old one", |cluster| {
            let pods = cluster.views::<Pod>();
            pods.len() == 2 && given::available(&pods) == 2 && !pods.iter().any(|pod| old.contains(&pod.metadata.uid))
        })
        .await;
    cluster.until("one set is left", |cluster| cluster.views::<ReplicaSet>().len() == 1).await;
    cluster.until_is("deployments/web", "/status/availableReplicas", 2).await;
}
