//! Real kubectl against the real binary: `cargo xtask e2e` finds it, names it in KNARR_KUBECTL and runs this with the oldest and the newest.
use anyhow::{Context as _, ensure};
use knarr_tests::{Guest, Started, eventually, hello, holds};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{io::AsyncReadExt as _, process::Command};

struct Kubectl {
    program: PathBuf,
    up: Started,
    /// A fresh HOME, so that no cache of another run is read.
    home: tempfile::TempDir,
}

impl Kubectl {
    async fn new() -> anyhow::Result<Self> {
        let program = std::env::var_os("KNARR_KUBECTL").context("KNARR_KUBECTL is not set: run `cargo xtask e2e`")?.into();
        Ok(Self { program, up: Started::up().await?, home: tempfile::tempdir()? })
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words.split_whitespace())
            .env("KUBECONFIG", self.up.node.kubeconfig())
            .env("HOME", self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Exit code and everything it said.
    async fn run(&self, words: &str) -> anyhow::Result<(i32, String)> {
        let output = self.command(words).output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code().unwrap_or(-1), said))
    }

    /// Runs a line that must succeed and say these words.
    async fn says(&self, words: &str, expected: &[&str]) -> anyhow::Result<String> {
        let (code, said) = self.run(words).await?;
        ensure!(
            code == 0 && expected.iter().all(|e| said.contains(e)),
            "kubectl {words}\nexit code {code}, expected {expected:?}:\n{said}"
        );
        Ok(said)
    }

    /// Runs a line that must fail and say these words.
    async fn refuses(&self, words: &str, expected: &str) -> anyhow::Result<()> {
        let (code, said) = self.run(words).await?;
        ensure!(code != 0 && said.contains(expected), "kubectl {words}\nexit code {code}, expected {expected:?}:\n{said}");
        Ok(())
    }

    fn file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.up.node.data.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    async fn web(&self) -> anyhow::Result<String> {
        let image = self.up.import("hello", &hello()).await?;
        let manifest = include_str!("../examples/hello.yaml").replace("localhost:5000/hello:v1", &image);
        self.file("web.yaml", &manifest)
    }
}

#[tokio::test]
async fn applies_scales_and_rolls_out() -> anyhow::Result<()> {
    let k = Kubectl::new().await?;
    let file = k.web().await?;
    k.says(
        &format!("apply -f {file}"),
        &["deployment.apps/hello created", "service/hello created", "ingress.networking.k8s.io/hello created"],
    )
    .await?;
    k.says("rollout status deployment/hello --timeout=60s", &["successfully rolled out"]).await?;
    k.says(&format!("apply -f {file}"), &["deployment.apps/hello unchanged", "service/hello unchanged"]).await?;
    k.says(
        "get deploy,rs,po,svc,ep,endpointslices,ing",
        &["deployment.apps/hello", "3/3", "replicaset.apps/hello-", "service/hello", "ingress.networking.k8s.io/hello"],
    )
    .await?;
    k.says("scale deployment hello --replicas=1", &["deployment.apps/hello scaled"]).await?;
    k.says("rollout status deployment/hello --timeout=60s", &["successfully rolled out"]).await?;
    k.says("wait --for=condition=Available deployment/hello --timeout=60s", &["condition met"]).await?;
    let changed = std::fs::read_to_string(&file)?.replace("replicas: 3", "replicas: 2");
    let changed = k.file("changed.yaml", &changed)?;
    k.says(&format!("apply -f {changed}"), &["deployment.apps/hello configured", "service/hello unchanged"]).await?;
    k.says("rollout restart deployment/hello", &["restarted"]).await?;
    k.says("rollout status deployment/hello --timeout=60s", &["successfully rolled out"]).await?;
    k.says("describe deployment hello", &["RollingUpdate", "ScalingReplicaSet"]).await?;
    k.says("describe service hello", &["Endpoints:", "8080"]).await?;
    k.says("describe ingress hello", &["hello:80"]).await?;
    k.says(&format!("delete -f {file}"), &["deployment.apps \"hello\" deleted"]).await?;
    eventually("no pods", async || holds(k.run("get pods").await?.1.contains("No resources found in default namespace."))).await
}

#[tokio::test]
async fn prints_objects_in_every_form() -> anyhow::Result<()> {
    let k = Kubectl::new().await?;
    k.says("create configmap settings --from-literal=a=1", &["configmap/settings created"]).await?;
    k.says("create secret generic hidden --from-literal=a=1", &["secret/hidden created"]).await?;
    k.says("create namespace team", &["namespace/team created"]).await?;
    k.says("create serviceaccount robot -n team", &["serviceaccount/robot created"]).await?;
    k.says("create deployment sized --image=localhost/none:v1 -n team", &["deployment.apps/sized created"]).await?;
    for (words, expected) in [
        ("get cm settings", "NAME       DATA   AGE"),
        ("get cm settings -o yaml", "kind: ConfigMap"),
        ("get cm settings -o json", "\"kind\": \"ConfigMap\""),
        ("get cm settings -o name", "configmap/settings"),
        ("get cm settings -o jsonpath={.data.a}", "1"),
        ("get cm settings -o go-template={{.data.a}}", "1"),
        ("get cm settings -o custom-columns=N:.metadata.name", "settings"),
        ("get nodes -o wide", "INTERNAL-IP"),
        ("get ns", "kube-system"),
        ("get sa -n team", "robot"),
        ("get secret hidden", "Opaque"),
        ("get leases -n kube-node-lease", "one"),
        ("get pods -A", "team"),
        ("get events -n team", "LAST SEEN"),
        ("events -n team", "LAST SEEN"),
        ("api-resources", "deployments"),
        ("api-versions", "apps/v1"),
        ("version", "v1.37"),
        ("describe node one", "Capacity:"),
        ("cluster-info", "Kubernetes control plane"),
    ] {
        eventually(words, async || k.says(words, &[expected]).await.map(drop)).await?;
    }
    // kubectl 1.27 asks for beta versions of the review that a v1.37 server does not have, and says so; later ones are answered.
    let (_, who) = k.run("auth whoami").await?;
    ensure!(who.contains("system:masters") || who.contains("enable APISelfSubjectReview feature gate"), "{who}");
    for (words, expected) in [
        ("get pod none", "Error from server (NotFound): pods \"none\" not found"),
        ("get ships", "the server doesn't have a resource type \"ships\""),
        ("create configmap settings", "configmaps \"settings\" already exists"),
        ("create namespace Bad_Name", "is invalid"),
    ] {
        k.refuses(words, expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn labels_annotates_edits_and_waits() -> anyhow::Result<()> {
    let k = Kubectl::new().await?;
    k.says("create configmap settings --from-literal=a=1", &["created"]).await?;
    k.says("label cm settings tier=front", &["labeled"]).await?;
    k.says("get cm -l tier=front", &["settings"]).await?;
    k.says("annotate cm settings note=kept", &["configmap/settings annotate"]).await?;
    k.says("label cm settings tier-", &["unlabeled"]).await?;
    k.says("patch cm settings --type=merge -p {\"data\":{\"a\":\"2\"}}", &["patched"]).await?;
    k.says("patch cm settings --type=json -p [{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"3\"}]", &["patched"]).await?;
    k.says("patch cm settings -p {\"data\":{\"c\":\"4\"}}", &["patched"]).await?;
    k.says("get cm settings -o jsonpath={.data}", &[r#"{"a":"2","b":"3","c":"4"}"#]).await?;
    let bad = k.file("bad.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: strict}\ndta: {a: b}\n")?;
    k.refuses(&format!("apply -f {bad}"), "unknown field \"dta\"").await?;
    k.says("delete cm settings", &["configmap \"settings\" deleted"]).await?;
    k.says("create namespace gone", &["created"]).await?;
    k.says("create configmap inside -n gone", &["created"]).await?;
    k.says("delete namespace gone --timeout=60s", &["namespace \"gone\" deleted"]).await?;
    k.refuses("get cm inside -n gone", "not found").await
}

#[tokio::test]
async fn follows_logs_and_deletes_gracefully() -> anyhow::Result<()> {
    let k = Kubectl::new().await?;
    let (greets, traps, sleeps) = (
        k.up.import("greets", &Guest::Greets.wasm()).await?,
        k.up.import("traps", &Guest::Traps.wasm()).await?,
        k.up.import("sleeps", &Guest::Sleeps.wasm()).await?,
    );
    for (name, image, restart) in [("greets", &greets, "Never"), ("traps", &traps, "Always"), ("sleeps", &sleeps, "Always")] {
        k.says(
            &format!("run {name} --image={image} --restart={restart} --image-pull-policy=IfNotPresent"),
            &[&format!("pod/{name} created")],
        )
        .await?;
    }
    k.says("wait --for=jsonpath={.status.phase}=Succeeded pod/greets --timeout=60s", &["condition met"]).await?;
    k.says("logs greets", &["hello"]).await?;
    k.says("logs greets --tail=1 --since=1h --timestamps", &["Z hello"]).await?;
    k.says("logs -f greets", &["hello"]).await?;
    eventually("a restart", async || {
        k.says("get pod traps -o jsonpath={.status.containerStatuses[0].restartCount}", &["1"]).await.map(drop)
    })
    .await?;
    k.says("describe pod traps", &["unreachable", "Exit Code:    134"]).await?;
    ensure!(k.run("logs traps --previous").await?.0 == 0, "the log of the crashed container is kept");
    k.says("wait --for=condition=Ready pod/sleeps --timeout=60s", &["condition met"]).await?;
    k.says("delete pod sleeps --grace-period=1 --timeout=60s", &["pod \"sleeps\" deleted"]).await?;
    k.refuses("get pod sleeps", "not found").await
}

#[tokio::test]
async fn watches() -> anyhow::Result<()> {
    let k = Kubectl::new().await?;
    let mut watching = k.command("get configmaps -w -l seen=yes").stdout(Stdio::piped()).spawn()?;
    let mut out = watching.stdout.take().context("piped")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    k.says("create configmap appears", &["created"]).await?;
    k.says("label cm appears seen=yes", &["labeled"]).await?;
    let mut seen = String::new();
    let mut buffer = [0_u8; 4096];
    tokio::time::timeout(Duration::from_secs(30), async {
        while !seen.contains("appears") {
            let read = out.read(&mut buffer).await?;
            ensure!(read > 0, "the watch ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        Ok(())
    })
    .await??;
    watching.kill().await?;
    Ok(())
}
