//! Two machines, as far as the network can tell: a second agent in a network namespace of its own. Needs root and the `ip` command, which
//! `cargo xtask e2e` looks for.
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use knarr_tests::{Started, address, binary, deployment, eventually, hello, http_get, service};
use kube::Api;
use std::process::{Child, Command, Stdio};

/// A namespace joined to this one by a veth pair. Taken away at the end.
struct Machine {
    name: String,
    here: String,
    there: String,
}

impl Machine {
    fn new() -> anyhow::Result<Self> {
        let id = std::process::id();
        let machine =
            Self { name: format!("knarr-e2e-{id}"), here: format!("10.99.{}.1", id % 250), there: format!("10.99.{}.2", id % 250) };
        let (inside, outside) = (format!("kni{id}"), format!("kno{id}"));
        ip(&format!("netns add {}", machine.name))?;
        ip(&format!("link add {outside} type veth peer name {inside} netns {}", machine.name))?;
        ip(&format!("addr add {}/24 dev {outside}", machine.here))?;
        ip(&format!("link set {outside} up"))?;
        ip(&format!("-n {} addr add {}/24 dev {inside}", machine.name, machine.there))?;
        ip(&format!("-n {} link set {inside} up", machine.name))?;
        ip(&format!("-n {} link set lo up", machine.name))?;
        Ok(machine)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name)).ok();
    }
}

fn ip(words: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("the ip command (apt-get install iproute2)")?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn pods_of_a_second_node_answer_by_address_and_through_a_service() -> anyhow::Result<()> {
    let machine = Machine::new()?;
    let services = format!("10.97.{}.0/24", std::process::id() % 250);
    let up = Started::up_on(&machine.here, &["--service-cidr", &services]).await?;
    let data = tempfile::tempdir()?;
    let token = std::fs::read_to_string(up.node.data.join("server/node-token"))?;
    let log = std::fs::File::create(data.path().join("agent.log"))?;
    let agent = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", machine.name))
        .arg(binary())
        .args([
            "agent",
            "--node-name",
            "two",
            "--server",
            &format!("https://{}:{}", machine.here, up.node.api),
            "--token",
            token.trim(),
            "--service-cidr",
            &services,
        ])
        .arg("--data-dir")
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let agent = Agent(agent);
    let nodes: Api<Node> = Api::all(up.client().await?);
    eventually("the second node to be Ready", async || {
        let conditions = nodes.get("two").await?.status.and_then(|s| s.conditions).unwrap_or_default();
        ensure!(
            conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
            "{}",
            std::fs::read_to_string(data.path().join("agent.log"))?
        );
        Ok(())
    })
    .await?;
    // Its images are its own: they come from the first node's registry, or by import.
    let file = data.path().join("hello.wasm");
    std::fs::write(&file, hello())?;
    let image = "localhost/hello:v1";
    let imported = Command::new(binary()).args(["image", "import", "--name", image, "--data-dir"]).arg(data.path()).arg(&file).output()?;
    ensure!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

    let mut far = deployment("far", image, 2);
    far["spec"]["template"]["spec"]["nodeSelector"] = serde_json::json!({"kubernetes.io/hostname": "two"});
    up.create::<k8s_openapi::api::apps::v1::Deployment>("default", far).await?;
    let made: Service = up.create("default", service("far")).await?;
    let pods: Vec<Pod> = up.ready("default", "far", 2).await?;
    let cluster_ip = made.spec.and_then(|s| s.cluster_ip).context("a cluster IP")?;
    for url in [format!("http://{}:8080/", address(&pods[0])?), format!("http://{cluster_ip}/")] {
        eventually(&url, async || {
            let (status, text) = http_get(&url).await?;
            ensure!(status == 200 && text.contains("far-"), "{status} {text}");
            Ok(())
        })
        .await?;
    }
    let name = pods[0].metadata.name.clone().context("a name")?;
    up.namespaced::<Pod>("default").await?.logs(&name, &kube::api::LogParams::default()).await.context("logs come from the other node")?;
    // What the agent started outlives it by design: end its pods first.
    up.namespaced::<k8s_openapi::api::apps::v1::Deployment>("default").await?.delete("far", &kube::api::DeleteParams::background()).await?;
    up.ready("default", "far", 0).await?;
    drop(agent);
    for runner in knarr_tests::runners(data.path()) {
        runner.kill();
    }
    Ok(())
}
