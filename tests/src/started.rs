//! A running `knarr` of a test's own: its folder, its ports, its end.
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Catches hangs; nothing that works comes near it, on the slowest machine either.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Waits until something answers, and says what it was last told when it never does.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let began = tokio::time::Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if began.elapsed() > PATIENCE => return Err(error.context(format!("waited {PATIENCE:?} for: {what}"))),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// A condition as something that can be waited for.
pub fn holds(condition: bool) -> anyhow::Result<()> {
    if condition { Ok(()) } else { bail!("it does not hold yet") }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback has free ports").port()
}

/// A plain GET: status and text.
pub async fn http_get(url: &str) -> anyhow::Result<(u16, String)> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(Duration::from_secs(10), client.get(url.parse()?)).await??;
    let status = answer.status().as_u16();
    Ok((status, String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned()))
}

/// The binary that this very `cargo test` built.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    let profile = test.ancestors().find(|folder| folder.join("knarr").is_file());
    profile
        .map(|folder| folder.join("knarr"))
        .expect("target/<profile>/knarr: `cargo test --workspace` builds it, or `cargo build -p knarr`")
}

/// What one `knarr up` listens on.
#[derive(Debug, Clone)]
pub struct Node {
    pub data: PathBuf,
    /// Where the API listens.
    pub host: String,
    pub api: u16,
    pub http: u16,
    pub https: u16,
    pub registry: u16,
}

impl Node {
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            host: "127.0.0.1".into(),
            api: free_port(),
            http: free_port(),
            https: free_port(),
            registry: free_port(),
        }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// The command line of `up`, for this folder and these ports.
    pub fn up(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["up", "--node-name", "one", "--listen", &format!("{}:{}", self.host, self.api)]);
        command.args([
            "--http-port",
            &self.http.to_string(),
            "--https-port",
            &self.https.to_string(),
            "--registry-port",
            &self.registry.to_string(),
        ]);
        command.arg("--data-dir").arg(&self.data);
        command
    }
}

/// A process that ends with the test.
pub struct Started {
    pub node: Node,
    child: Child,
    folder: Option<tempfile::TempDir>,
}

impl Started {
    /// `knarr up` in a new folder, ready.
    pub async fn up() -> anyhow::Result<Self> {
        Self::up_with(&[]).await
    }

    pub async fn up_with(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::up_on("127.0.0.1", arguments).await
    }

    /// The same, with the API on an address that other machines reach.
    pub async fn up_on(host: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::Builder::new().prefix("knarr-test-").tempdir()?;
        let mut node = Node::new(folder.path());
        host.clone_into(&mut node.host);
        let mut started = Self::again(node, arguments).await?;
        started.folder = Some(folder);
        Ok(started)
    }

    /// `knarr up` on what an earlier one left.
    pub async fn again(node: Node, arguments: &[&str]) -> anyhow::Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(node.data.join("up.log"))?;
        let child =
            node.up().args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("starting knarr")?;
        let mut started = Self { node, child, folder: None };
        started.wait_until_ready().await?;
        Ok(started)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let node = self.node.clone();
        let child = &mut self.child;
        let mut gone = None;
        let ready = eventually("the node to be Ready", async || {
            if let Some(status) = child.try_wait()? {
                gone = Some(status);
                return Ok(false);
            }
            let client = client(&node.kubeconfig()).await?;
            let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(client);
            let conditions = nodes.get("one").await?.status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") { Ok(true) } else { bail!("not Ready: {conditions:?}") }
        })
        .await;
        if !matches!(ready, Ok(true)) {
            bail!("{:?} {gone:?}\n{}", ready.err(), self.log());
        }
        Ok(())
    }

    /// What the process wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.node.data.join("up.log")).unwrap_or_default()
    }

    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        client(&self.node.kubeconfig()).await
    }

    /// The URL of a path behind the Ingress.
    pub fn ingress(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.node.http)
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid is an i32")
    }

    /// Runs a user's command against this cluster: exit code, stdout, stderr.
    pub async fn knarr(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let output = tokio::process::Command::new(binary())
            .args(arguments)
            .env("KUBECONFIG", self.node.kubeconfig())
            .env("KNARR_DATA_DIR", &self.node.data)
            .output()
            .await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }

    /// Ends it without a word, as a crash would. What it started lives on.
    pub fn kill(mut self) -> anyhow::Result<Node> {
        self.child.kill()?;
        self.child.wait()?;
        // The folder outlives the process that is gone: whoever starts again removes it.
        if let Some(folder) = self.folder.take() {
            self.node.data = folder.keep();
        }
        Ok(self.node.clone())
    }

    /// Keeps the folder beyond this process, for one that goes on with it.
    pub fn keep_folder(&mut self) -> Option<tempfile::TempDir> {
        self.folder.take()
    }

    /// Asks it to end, and gives its exit code.
    pub fn terminate(&mut self) -> anyhow::Result<Option<i32>> {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM)?;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself; SIGTERM lets it stop its runners, and a hang must not outlive the test.
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // It may just have ended; either way it is waited for below.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM).ok();
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub async fn client(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}
