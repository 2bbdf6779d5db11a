//! Writers who get in each other's way.
use crate::given;
use knarr_cluster::views::{Pod, ReplicaSet};
use knarr_machinery::Reason;
use knarr_testkit::Cluster;
use serde_json::json;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn writes_that_name_no_version_are_tried_again_until_all_are_in() {
    const WRITERS: usize = 24;
    let cluster = Arc::new(Cluster::start().await);
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {first: '1'}}").await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let cluster = Arc::clone(&cluster);
        let patch = json!({"data": { format!("k{number}"): number.to_string() }});
        writers.spawn(async move { cluster.patch("configmaps/settings", patch).await });
    }
    writers.join_all().await;
    let data = cluster.at("configmaps/settings", "/data");
    assert_eq!(data.as_object().unwrap().len(), WRITERS + 1, "{data}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_names_an_old_version_is_refused() {
    let cluster = Cluster::start().await;
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: '1'}}").await;
    let mut seen = cluster.get("configmaps/settings").unwrap();
    cluster.patch("configmaps/settings", json!({"data": {"a": "2"}})).await;
    seen["data"]["a"] = json!("3");
    let refused = cluster.try_replace("configmaps/settings", &seen).await.unwrap_err();
    assert_eq!((refused.code, refused.reason), (409, Reason::Conflict), "{refused}");
    let version = seen["metadata"]["resourceVersion"].clone();
    let refused = cluster.try_patch("configmaps/settings", json!({"metadata": {"resourceVersion": version}, "data": {"a": "3"}})).await;
    assert_eq!(refused.unwrap_err().reason, Reason::Conflict);
    assert_eq!(cluster.at("configmaps/settings", "/data/a"), "2");
}

/// Somebody writes to every object of a rollout all the time: the loops' writes conflict, and they get there all the same.
#[tokio::test(start_paused = true)]
async fn loops_get_there_though_somebody_always_writes_in_between() {
    let cluster = Cluster::start().await;
    given::web(&cluster, 4, "web:1").await;
    cluster.apply(&given::deployment(4, "web:2")).await;
    let meddle = async {
        for round in 0_u64.. {
            let note = json!({"metadata": {"annotations": {"round": round.to_string()}}});
            let pods = cluster.views::<Pod>().iter().map(|pod| format!("pods/{}", pod.metadata.name)).collect::<Vec<_>>();
            let sets = cluster.views::<ReplicaSet>().iter().map(|set| format!("replicasets/{}", set.metadata.name)).collect::<Vec<_>>();
            for object in pods.iter().chain(&sets).chain([&"deployments/web".to_owned()]) {
                // It may just have gone.
                let _ = cluster.try_patch(object, note.clone()).await;
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let done = cluster.until("all are new", |cluster| {
        let pods = cluster.views::<Pod>();
        pods.len() == 4 && given::available(&pods) == 4 && pods.iter().all(|pod| &*pod.spec.containers[0].image == "web:2")
    });
    tokio::select! {
        () = meddle => {}
        () = done => {}
    }
}

/// Two controllers that never ran are not missed by those that do.
#[tokio::test(start_paused = true)]
async fn a_bare_server_only_stores() {
    let cluster = Cluster::build().nodes(0).controllers("-*").without_scheduler().start().await;
    cluster.apply(&given::deployment(2, "web:1")).await;
    cluster.advance(std::time::Duration::from_secs(60)).await;
    assert!(cluster.views::<ReplicaSet>().is_empty() && cluster.views::<Pod>().is_empty());
    assert_eq!(cluster.at("deployments/web", "/spec/replicas"), 2);
}
