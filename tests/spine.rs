//! The road from a manifest to an answer, and what survives on it.
use anyhow::{Context as _, ensure};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod},
    networking::v1::Ingress,
};
use knarr_tests::{Node, Started, eventually, hello, holds, http_get, ingress, restarts};
use kube::api::{DeleteParams, ListParams};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_deployment_answers_through_its_service_and_ingress() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("hello", &hello()).await?;
    let pods = up.serve("default", "web", &image, 3).await?;
    let _: Ingress = up.create("default", ingress("web")).await?;
    let names: BTreeSet<_> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    let mut answered = BTreeSet::new();
    eventually("an answer of each pod", async || {
        let (status, text) = http_get(&up.ingress("/some/path")).await?;
        ensure!(status == 200 && text.contains("/some/path"), "{status} {text}");
        answered.extend(names.iter().filter(|name| text.contains(name.as_str())).cloned());
        ensure!(answered == names, "only {answered:?} answered");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_and_no_request_fails_meanwhile() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("hello", &hello()).await?;
    let pods = up.serve("default", "web", &image, 2).await?;
    let _: Ingress = up.create("default", ingress("web")).await?;
    let url = up.ingress("/");
    eventually("the first answer", async || holds(http_get(&url).await?.0 == 200)).await?;
    let api = up.namespaced::<Pod>("default").await?;
    api.delete(pods[0].metadata.name.as_deref().context("a name")?, &DeleteParams::default()).await?;
    for _ in 0..200 {
        let (status, text) = http_get(&url).await?;
        ensure!(status == 200, "{status} {text}");
    }
    up.ready("default", "web", 2).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash_and_pods_serve_on() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("hello", &hello()).await?;
    let before = up.serve("default", "web", &image, 2).await?;
    for i in 0..50 {
        up.config_map(&format!("kept-{i}"), "acknowledged").await?;
    }
    let node = up.kill()?;
    let again = Started::again(node, &[]).await?;
    let kept = again.namespaced::<ConfigMap>("default").await?.list(&ListParams::default()).await?;
    ensure!(
        kept.items.iter().filter(|m| m.metadata.name.as_deref().is_some_and(|n| n.starts_with("kept-"))).count() == 50,
        "some were lost"
    );
    let after = again.ready("default", "web", 2).await?;
    let uids = |pods: &[Pod]| pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect::<BTreeSet<_>>();
    ensure!(uids(&before) == uids(&after), "pods were replaced");
    ensure!(after.iter().all(|pod| restarts(pod) == 0), "runners outlive the agent, so nothing restarts");
    // It stops its runners first: they are found by what lies in the folder.
    let data = again.node.data.clone();
    drop(again);
    std::fs::remove_dir_all(data).ok();
    Ok(())
}

#[tokio::test]
async fn ends_well_when_asked_and_starts_again_with_everything() -> anyhow::Result<()> {
    let mut up = Started::up().await?;
    up.config_map("kept", "yes").await?;
    ensure!(up.terminate()? == Some(0), "SIGTERM ends with 0: {}", up.log());
    let folder = up.keep_folder();
    let again = Started::again(up.node.clone(), &[]).await?;
    let kept = again.namespaced::<ConfigMap>("default").await?.get("kept").await?;
    ensure!(kept.data.is_some_and(|data| data["value"] == "yes"));
    drop(again);
    drop(folder);
    Ok(())
}

#[tokio::test]
async fn a_second_one_on_the_same_folder_or_port_is_told_so() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let same_folder = Node::new(&up.node.data).up().output()?;
    let said = String::from_utf8_lossy(&same_folder.stderr).into_owned();
    ensure!(!same_folder.status.success() && said.contains("in use") && said.contains(&*up.node.data.to_string_lossy()), "{said}");
    let elsewhere = tempfile::tempdir()?;
    let mut node = Node::new(elsewhere.path());
    node.api = up.node.api;
    let same_port = node.up().output()?;
    let said = String::from_utf8_lossy(&same_port.stderr).into_owned();
    ensure!(!same_port.status.success() && said.contains(&format!("127.0.0.1:{}", node.api)) && said.contains("--listen"), "{said}");
    Ok(())
}

#[tokio::test]
async fn two_clusters_on_one_machine_do_not_disturb_each_other() -> anyhow::Result<()> {
    let (one, two) = (Started::up().await?, Started::up().await?);
    let image = one.import("hello", &hello()).await?;
    two.import("hello", &hello()).await?;
    for up in [&one, &two] {
        up.serve("default", "web", &image, 1).await?;
        let _: Ingress = up.create("default", ingress("web")).await?;
    }
    for up in [&one, &two] {
        eventually("an answer", async || holds(http_get(&up.ingress("/")).await?.0 == 200)).await?;
    }
    drop(one);
    ensure!(http_get(&two.ingress("/")).await?.0 == 200, "the other one's end was felt");
    Ok(())
}
