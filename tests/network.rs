//! The pod network: who answers on a pod's address, who does not, and how Services are reached.
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use knarr_tests::{Started, address, eventually, hello, http_get};
use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};
use tokio::net::TcpStream;

async fn refuses(address: SocketAddr) -> bool {
    let tried = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await;
    matches!(tried, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

async fn one_pod(up: &Started) -> anyhow::Result<IpAddr> {
    let image = up.import("hello", &hello()).await?;
    let pods = up.serve("default", "web", &image, 1).await?;
    Ok(address(&pods[0])?.parse()?)
}

#[tokio::test]
async fn a_hosts_service_neither_answers_on_a_pod_nor_blocks_its_port() -> anyhow::Result<()> {
    let host = TcpListener::bind("0.0.0.0:0")?;
    let port = host.local_addr()?.port();
    let up = Started::up().await?;
    let pod = one_pod(&up).await?;
    if nix::unistd::geteuid().is_root() {
        ensure!(refuses(SocketAddr::new(pod, port)).await, "the host's service answers on the pod's address");
    }
    // The same port, of a pod: bound where the pod's address is.
    let image = up.import("hello", &hello()).await?;
    let object = serde_json::json!({"metadata": {"name": "same-port"}, "spec": {"containers": [{"name": "main", "image": image, "ports": [{"containerPort": port}]}]}});
    let _: Pod = up.create("default", object).await?;
    if nix::unistd::geteuid().is_root() {
        let pod = up.pod_when("default", "same-port", "Ready", knarr_tests::is_ready).await?;
        let (status, text) = http_get(&format!("http://{}:{port}/", address(&pod)?)).await?;
        ensure!(status == 200 && text.contains("same-port"), "{status} {text}");
    }
    drop(host);
    Ok(())
}

#[tokio::test]
async fn an_unbound_address_or_port_refuses() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let pod = one_pod(&up).await?;
    ensure!(refuses(SocketAddr::new(pod, 8079)).await, "a port that the pod does not listen on");
    let IpAddr::V4(v4) = pod else { anyhow::bail!("an IPv4 pod") };
    let [a, b, c, _] = v4.octets();
    ensure!(refuses(SocketAddr::from(([a, b, c, 250], 8080))).await, "an address that no pod has");
    Ok(())
}

#[tokio::test]
async fn a_service_is_reached_by_its_cluster_ip_and_node_port() -> anyhow::Result<()> {
    // The host can route a range of Services to one cluster only, and other tests run beside this one.
    let services = format!("10.98.{}.0/24", std::process::id() % 250);
    let up = Started::up_with(&["--service-cidr", &services]).await?;
    one_pod(&up).await?;
    let mut exposed = knarr_tests::service("web");
    exposed["metadata"]["name"] = "exposed".into();
    exposed["spec"]["type"] = "NodePort".into();
    let made: Service = up.create("default", exposed).await?;
    let spec = made.spec.context("a spec")?;
    let node_port = spec.ports.and_then(|ports| ports[0].node_port).context("a node port")?;
    ensure!((30000..=32767).contains(&node_port));
    let mut urls = vec![format!("http://127.0.0.1:{node_port}/")];
    if nix::unistd::geteuid().is_root() {
        urls.push(format!("http://{}/", spec.cluster_ip.context("a cluster IP")?));
    }
    for url in urls {
        eventually(&url, async || {
            let (status, text) = http_get(&url).await?;
            ensure!(status == 200 && text.contains("web-"), "{status} {text}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
