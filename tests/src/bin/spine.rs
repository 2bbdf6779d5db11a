//! `cargo xtask bench spine`: how fast the spine is and what it costs, in one run, as a table or as JSON.
use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Service},
    networking::v1::Ingress,
};
use knarr_tests::{Started, address, deployment, eventually, hello, ingress, is_ready, load::load, runners, service};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

struct Size {
    objects: usize,
    singles: usize,
    many: usize,
    load_for: Duration,
}

const FULL: Size = Size { objects: 1000, singles: 50, many: 1000, load_for: Duration::from_secs(4) };
const QUICK: Size = Size { objects: 100, singles: 5, many: 200, load_for: Duration::from_millis(500) };
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// Figures in the order they were taken.
#[derive(Default)]
struct Figures(Vec<(String, f64, &'static str)>);

impl Figures {
    fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        let what = what.into();
        eprintln!("  {what}: {value:.1} {unit}");
        self.0.push((what, value, unit));
    }

    fn print(&self, json: bool) {
        if json {
            let all: Vec<_> = self.0.iter().map(|(what, value, unit)| json!({"what": what, "value": value, "unit": unit})).collect();
            println!("{}", serde_json::to_string_pretty(&all).expect("plain data"));
            return;
        }
        println!("\n| figure | value | unit |\n|---|---:|---|");
        for (what, value, unit) in &self.0 {
            println!("| {what} | {value:.1} | {unit} |");
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags: Vec<String> = std::env::args().skip(1).collect();
    let size = if flags.iter().any(|f| f == "--quick") { QUICK } else { FULL };
    let mut figures = Figures::default();
    measure(&size, &mut figures).await?;
    figures.print(flags.iter().any(|f| f == "--json"));
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

async fn measure(size: &Size, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("starting and restarting");
    // The first start reads the binary from disk.
    drop(Started::up().await?);
    let mut cold = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let up = Started::up().await?;
        cold.push(ms(began));
        drop(up);
    }
    figures.add("up, cold data to Ready", median(&mut cold), "ms");
    let mut up = Started::up().await?;
    memory(&up, "idle", 0, figures).await?;
    config_maps(&up, size.objects).await?;
    ensure!(up.terminate()? == Some(0), "SIGTERM");
    let node = up.node.clone();
    let folder = up.keep_folder();
    let began = Instant::now();
    let up = Started::again(node, &[]).await?;
    figures.add(format!("restart with {} objects to Ready", size.objects), ms(began), "ms");
    drop(up);
    drop(folder);

    let up = Started::up().await?;
    let image = up.import("hello", &hello()).await?;
    eprintln!("pods");
    pods(&up, &image, size, figures).await?;
    eprintln!("requests");
    requests(&up, &image, size, figures).await
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn config_maps(up: &Started, count: usize) -> anyhow::Result<()> {
    let api = up.namespaced::<ConfigMap>("default").await?;
    let make = |i: usize| {
        let api = api.clone();
        async move {
            api.create(
                &PostParams::default(),
                &serde_json::from_value(json!({"metadata": {"name": format!("m{i}")}, "data": {"v": "x".repeat(1000)}}))?,
            )
            .await
            .map_err(anyhow::Error::from)
        }
    };
    stream::iter((0..count).map(make)).buffer_unordered(64).try_collect::<Vec<_>>().await?;
    Ok(())
}

async fn pods(up: &Started, image: &str, size: &Size, figures: &mut Figures) -> anyhow::Result<()> {
    let api = up.namespaced::<Pod>("default").await?;
    // The first pod pays for compiling and for the runner.
    let first = one_pod(&api, "first", image).await?;
    figures.add("first pod: create to Ready (compile, start a runner)", first, "ms");
    let mut took = Vec::new();
    for i in 0..size.singles {
        took.push(one_pod(&api, &format!("single-{i}"), image).await?);
    }
    took.sort_by(f64::total_cmp);
    figures.add("pod create to Ready, p50", took[took.len() / 2], "ms");
    figures.add("pod create to Ready, p99", took[(took.len() - 1) * 99 / 100], "ms");
    api.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await?;
    empty(&api).await?;
    for replicas in [100, size.many] {
        let began = Instant::now();
        let deployments = up.namespaced::<Deployment>("default").await?;
        deployments.create(&PostParams::default(), &serde_json::from_value(deployment("many", image, replicas))?).await?;
        all_ready(&api, replicas).await?;
        figures.add(format!("{replicas} replicas Ready"), ms(began), "ms");
        memory(up, &format!("{replicas} pods"), replicas, figures).await?;
        deployments.delete("many", &DeleteParams::background()).await?;
        empty(&api).await?;
        figures.add(format!("{replicas} replicas gone"), ms(began), "ms after their creation");
    }
    Ok(())
}

async fn one_pod(api: &Api<Pod>, name: &str, image: &str) -> anyhow::Result<f64> {
    let pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": image, "ports": [{"containerPort": 8080}]}], "terminationGracePeriodSeconds": 1}});
    let began = Instant::now();
    api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    // Asked again and again: a millisecond is what this measures in.
    while !is_ready(&api.get(name).await?) {
        ensure!(began.elapsed() < Duration::from_secs(60), "{name} did not become Ready");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    Ok(ms(began))
}

async fn all_ready(api: &Api<Pod>, wanted: usize) -> anyhow::Result<()> {
    let params = ListParams::default();
    eventually("all replicas Ready", async || {
        let ready = api.list(&params).await?.items.iter().filter(|pod| is_ready(pod)).count();
        if ready >= wanted { Ok(()) } else { bail!("{ready} of {wanted}") }
    })
    .await
}

async fn empty(api: &Api<Pod>) -> anyhow::Result<()> {
    eventually("no pods left", async || {
        let left = api.list(&ListParams::default()).await?.items.len();
        if left == 0 { Ok(()) } else { bail!("{left} left") }
    })
    .await
}

/// RSS of the server with its agent, and of all runners.
async fn memory(up: &Started, when: &str, pods: usize, figures: &mut Figures) -> anyhow::Result<()> {
    // What is freed goes back within a moment.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let own = rss_kib(up.pid())?;
    let others: f64 = runners(&up.node.data).iter().map(|runner| rss_kib(runner.pid).unwrap_or(0.0)).sum();
    figures.add(format!("RSS of server and agent, {when}"), own / 1024.0, "MiB");
    if pods > 0 {
        figures.add(format!("RSS of runners, {when}"), others / 1024.0, "MiB");
        let idle =
            figures.0.iter().find(|(what, _, _)| what == "RSS of server and agent, idle").map_or(0.0, |(_, value, _)| value * 1024.0);
        figures.add(format!("all processes over idle, a pod, {when}"), (own + others - idle) / pods as f64, "KiB");
        figures.add(format!("shelf, {when}, a pod"), shelf_bytes(up).await? / pods as f64 / 1024.0, "KiB");
    }
    Ok(())
}

/// Bytes of Pods on the shelf, as the server counts them.
async fn shelf_bytes(up: &Started) -> anyhow::Result<f64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = up.client().await?.request_text(request).await?;
    let line = text
        .lines()
        .find(|line| line.starts_with("apiserver_resource_size_estimate_bytes{resource=\"pods\"}"))
        .context("apiserver_resource_size_estimate_bytes is not among the metrics")?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

fn rss_kib(pid: i32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

async fn requests(up: &Started, image: &str, size: &Size, figures: &mut Figures) -> anyhow::Result<()> {
    let api = up.namespaced::<Pod>("default").await?;
    up.create::<Deployment>("default", deployment("web", image, 1)).await?;
    let made: Service = up.create("default", service("web")).await?;
    up.create::<Ingress>("default", ingress("web")).await?;
    all_ready(&api, 1).await?;
    let pod = api.list(&ListParams::default()).await?.items.remove(0);
    let cluster_ip = made.spec.and_then(|s| s.cluster_ip).context("a cluster IP")?;
    let mut targets = vec![
        ("pod IP", format!("{}:8080", address(&pod)?).parse::<SocketAddr>()?),
        ("Service", format!("{cluster_ip}:80").parse()?),
        ("Ingress", SocketAddr::from(([127, 0, 0, 1], up.node.http))),
    ];
    let wasmtime = wasmtime_serve(&up.node.data)?;
    targets.extend(wasmtime.as_ref().map(|(_, address)| ("wasmtime serve", *address)));
    for (name, address) in &targets {
        eventually(&format!("{name} to answer"), async || load(*address, "localhost", "/", 1, Duration::from_millis(50)).await).await?;
        for connections in CONNECTIONS {
            let seen = load(*address, "localhost", "/", connections, size.load_for).await?;
            figures.add(format!("{name}, {connections} connections"), seen.requests_per_s, "requests/s");
            figures.add(format!("{name}, {connections} connections, p99"), seen.p99_us, "us");
        }
    }
    if let Some((mut child, _)) = wasmtime {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// `wasmtime serve` with the same component, where that binary is found.
fn wasmtime_serve(folder: &Path) -> anyhow::Result<Option<(Child, SocketAddr)>> {
    let address = SocketAddr::from(([127, 0, 0, 1], knarr_tests::free_port()));
    let started = Command::new("wasmtime")
        .args(["serve", "-Scli", "--addr", &address.to_string()])
        .arg(folder.join("hello.wasm"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Ok(Some((child, address))),
        Err(_) => {
            eprintln!("  wasmtime is not on the PATH: nothing to compare with (cargo install wasmtime-cli --version 48.0.8)");
            Ok(None)
        }
    }
}
