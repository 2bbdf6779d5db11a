//! `knarr demo`: a whole cluster with a Wasm web server behind a Service and an Ingress, in a temporary folder, step by step.
use crate::{
    cli::{ClientOptions, DemoOptions},
    client::{Api, TABLE, apply, manifest, resources::Resources, table},
    machine,
    options::UpOptions,
    progress::{Progress, milliseconds},
    up::{Up, until_told},
};
use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    time::Duration,
};

const GUEST_WAT: &str = include_str!("../../../examples/hello-wat/hello.wat");
const GUEST_WIT: &str = include_str!("../../../examples/hello-wat/hello.wit");
const MANIFESTS: &str = include_str!("../../../examples/hello.yaml");
/// The image that the manifests name; the registry of this demo may have another port.
const IMAGE: &str = "localhost:5000/hello:v1";
const REPLICAS: usize = 3;
const ANSWERS: usize = 3;
/// Far more than it takes on a slow machine: past it something is wrong, and the demo says what.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    println!("knarr {}\n", env!("CARGO_PKG_VERSION"));
    for line in machine::look().lines() {
        println!("  {line}");
    }
    println!();
    let mut progress = Progress::start();
    let folder = tempfile::Builder::new().prefix("knarr-demo-").tempdir().context("making a temporary folder")?;
    let mut up_options = UpOptions::for_folder(folder.path());
    choose_ports(&mut up_options);
    progress.doing("starting a single-node cluster");
    let up = Up::start(&up_options).await?;
    progress.done("cluster started, node Ready");
    let shown = show(&up, &mut progress).await;
    if let Err(error) = shown {
        up.stop(true).await;
        return Err(error);
    }
    if !options.once {
        println!("\nCtrl-C ends the demo and removes everything.");
        until_told().await?;
        println!("\nending");
    }
    up.stop(true).await;
    Ok(ExitCode::SUCCESS)
}

impl UpOptions {
    /// The defaults of `knarr up`, in a folder.
    pub fn for_folder(folder: &std::path::Path) -> Self {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: UpOptions,
        }
        let mut options = Line::parse_from(["up"]).options;
        options.server.data_dir = Some(folder.to_owned());
        options
    }
}

/// The usual ports where they are free, else others: a demo shall not fail because something listens on 8080.
pub fn choose_ports(options: &mut UpOptions) {
    let free = |wanted: u16, host: Ipv4Addr| {
        let bind = |port| TcpListener::bind((host, port)).and_then(|l| l.local_addr()).map(|a| a.port());
        bind(wanted).or_else(|_| bind(0)).unwrap_or(wanted)
    };
    options.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free(options.server.listen.port(), Ipv4Addr::LOCALHOST)));
    options.http_port = free(options.http_port, Ipv4Addr::UNSPECIFIED);
    options.https_port = free(options.https_port, Ipv4Addr::UNSPECIFIED);
    options.registry_port = free(options.registry_port, Ipv4Addr::LOCALHOST);
}

async fn show(up: &Up, progress: &mut Progress) -> anyhow::Result<()> {
    progress.doing("pushing the example component");
    let image = format!("localhost:{}/hello:v1", up.registry.port());
    let wasm = knarr_image::text::component(GUEST_WAT, GUEST_WIT)?;
    let size = wasm.len();
    knarr_image::push(wasm, &image, jiff::Timestamp::now()).await?;
    progress.done(format!("component of {size} bytes built from WAT and pushed to {image}"));

    let api = Api::open(&ClientOptions { kubeconfig: Some(up.kubeconfig.clone()), namespace: None }).await?;
    progress.doing("applying Deployment, Service and Ingress");
    let resources = Resources::ask(&api).await?;
    for object in manifest::parse(&MANIFESTS.replace(IMAGE, &image))? {
        apply::one(&api, &resources, object).await?;
    }
    progress.done("Deployment, Service and Ingress applied");

    wait_for_replicas(&api, progress).await?;
    progress.done(format!("{REPLICAS} of {REPLICAS} pods Ready"));
    let url = format!("http://127.0.0.1:{}/", up.http.port());
    let answers = fetch(&url, progress).await?;
    let first_after = progress.total();
    progress.done(format!("{ANSWERS} answers through the Ingress"));

    println!("\n  Ingress   {url}\n  API       https://{}\n  Registry  localhost:{}\n", up.api, up.registry.port());
    for answer in &answers {
        println!("  $ curl {url}\n  {}", answer.trim_end());
    }
    println!("\n{}", pods(&api).await?);
    println!(
        "Answers after {}. While the demo runs, go on with:\n\n  export KUBECONFIG={}",
        milliseconds(first_after),
        up.kubeconfig.display()
    );
    Ok(())
}

async fn wait_for_replicas(api: &Api, progress: &mut Progress) -> anyhow::Result<()> {
    let began = tokio::time::Instant::now();
    let mut said = 0;
    loop {
        let ready = ready_pods(&api.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dhello").await?);
        if ready >= REPLICAS {
            return Ok(());
        }
        if ready != said || said == 0 {
            progress.doing(&format!("{ready} of {REPLICAS} pods Ready"));
            said = ready;
        }
        if began.elapsed() > PATIENCE {
            bail!("only {ready} of {REPLICAS} pods became Ready:\n{}", pods(api).await?);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ready_pods(list: &Value) -> usize {
    let is_ready =
        |pod: &&Value| pod["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
    list["items"].as_array().into_iter().flatten().filter(is_ready).count()
}

/// Asks until the Ingress knows the way, then for the answers.
async fn fetch(url: &str, progress: &mut Progress) -> anyhow::Result<Vec<String>> {
    progress.doing("asking through the Ingress");
    let began = tokio::time::Instant::now();
    let mut answers = Vec::new();
    while answers.len() < ANSWERS {
        let (status, text) = crate::up::http_get(url).await?;
        if status == 200 {
            answers.push(text);
        } else if began.elapsed() > PATIENCE {
            bail!("the Ingress answers {status}: {text}");
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let different: BTreeSet<_> = answers.iter().collect();
    ensure!(different.len() > 1, "{ANSWERS} answers came from one pod: {:?}", answers[0]);
    Ok(answers)
}

async fn pods(api: &Api) -> anyhow::Result<String> {
    let answer = api.send(http::Method::GET, "/api/v1/namespaces/default/pods", None, TABLE, vec![]).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let shown: Vec<_> = answer["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, c)| c["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let header: Vec<_> = shown.iter().map(|(_, c)| c["name"].as_str().unwrap_or_default().to_uppercase()).collect();
    let cell = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let rows: Vec<Vec<_>> =
        answer["rows"].as_array().into_iter().flatten().map(|row| shown.iter().map(|(i, _)| cell(&row["cells"][*i])).collect()).collect();
    Ok(table::render(&header, &rows))
}
