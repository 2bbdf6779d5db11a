//! Who runs guests: a process a namespace, with a uid of its own, that lives and dies by itself.
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use knarr_tests::{Process, Started, address, children, eventually, hello, holds, http_get, restarts, runners};
use kube::api::ListParams;

async fn two_namespaces() -> anyhow::Result<(Started, Vec<Process>)> {
    let up = Started::up().await?;
    let image = up.import("hello", &hello()).await?;
    for namespace in ["red", "blue"] {
        up.namespace(namespace).await?;
        up.serve(namespace, "web", &image, 1).await?;
    }
    let processes = runners(&up.node.data);
    Ok((up, processes))
}

async fn url(up: &Started, namespace: &str) -> anyhow::Result<String> {
    let pods = up.namespaced::<Pod>(namespace).await?.list(&ListParams::default()).await?;
    Ok(format!("http://{}:8080/", address(pods.items.first().context("a pod")?)?))
}

/// The runner that serves a namespace: its command line names it.
fn runner_of<'a>(processes: &'a [Process], namespace: &str) -> anyhow::Result<&'a Process> {
    processes
        .iter()
        .find(|p| p.arguments.iter().any(|a| a.contains(namespace)))
        .with_context(|| format!("no runner of {namespace} in {processes:?}"))
}

#[tokio::test]
async fn two_namespaces_are_two_processes_with_two_uids() -> anyhow::Result<()> {
    let (up, processes) = two_namespaces().await?;
    ensure!(processes.len() == 2, "{processes:?}");
    ensure!(processes[0].pid != processes[1].pid);
    if nix::unistd::geteuid().is_root() {
        ensure!(processes[0].uid != processes[1].uid && processes.iter().all(|p| p.uid != 0), "{processes:?}");
    } else {
        ensure!(processes.iter().all(|p| p.uid == nix::unistd::geteuid().as_raw()), "without root there is one uid to have: {processes:?}");
    }
    drop(up);
    Ok(())
}

#[tokio::test]
async fn a_killed_runner_restarts_only_its_own_pods() -> anyhow::Result<()> {
    let (up, processes) = two_namespaces().await?;
    let (red, blue) = (url(&up, "red").await?, url(&up, "blue").await?);
    runner_of(&processes, "red")?.kill();
    for _ in 0..50 {
        ensure!(http_get(&blue).await?.0 == 200, "the other namespace answers on");
    }
    let pod = up.ready("red", "web", 1).await?.remove(0);
    let name = pod.metadata.name.context("a name")?;
    let again = up.pod_when("red", &name, "a restart", |pod| restarts(pod) == 1 && knarr_tests::is_ready(pod)).await?;
    ensure!(restarts(&again) == 1);
    eventually("the restarted pod's answer", async || holds(http_get(&red).await?.0 == 200)).await?;
    let untouched = up.ready("blue", "web", 1).await?;
    ensure!(restarts(&untouched[0]) == 0);
    Ok(())
}

#[tokio::test]
async fn runners_serve_on_while_the_agent_is_gone_and_are_adopted() -> anyhow::Result<()> {
    let (up, before) = two_namespaces().await?;
    let red = url(&up, "red").await?;
    ensure!(http_get(&red).await?.0 == 200);
    let node = up.kill()?;
    for _ in 0..50 {
        ensure!(http_get(&red).await?.0 == 200, "the runner serves without its agent");
    }
    let again = Started::again(node, &[]).await?;
    let pods = again.ready("red", "web", 1).await?;
    ensure!(restarts(&pods[0]) == 0, "adopted, not restarted");
    ensure!(http_get(&red).await?.0 == 200);
    ensure!(runners(&again.node.data) == before, "the same processes");
    // It stops its runners first: they are found by what lies in the folder.
    let data = again.node.data.clone();
    drop(again);
    std::fs::remove_dir_all(data).ok();
    Ok(())
}

#[tokio::test]
async fn agent_and_server_never_map_guest_code() -> anyhow::Result<()> {
    let (up, processes) = two_namespaces().await?;
    ensure!(http_get(&url(&up, "red").await?).await?.0 == 200);
    let code = up.node.data.join("agent/code").to_string_lossy().into_owned();
    let own = children(up.pid()).context("the server runs")?;
    ensure!(!own.maps().contains(&code), "the agent maps guest code");
    ensure!(runner_of(&processes, "red")?.maps().contains(&code), "a runner does map it: the check sees what it looks for");
    Ok(())
}
