//! What the cases stand on: a data folder with a runtime, guests from text, and a small HTTP client.
use knarr_runtime::{Container, ContainerId, Image, Observed, Runtime, State, contract};
use knarr_runtime_wasm::{Config, WasmRuntime};
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The longest that anything here may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub runtime: Arc<WasmRuntime>,
    pub config: Config,
    pub folder: TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("agent"), std::env::current_exe().unwrap());
        // An unoptimised compiler on a busy machine.
        config.compile_limit = PATIENCE;
        // What a failed case leaves behind ends soon by itself.
        config.idle_limit = Duration::from_secs(5);
        change(&mut config);
        fs::create_dir_all(folder.path().join("logs")).unwrap();
        Self { runtime: WasmRuntime::open(config.clone()).await.unwrap(), config, folder }
    }

    /// As after a restart of the agent.
    pub async fn reopen(self) -> Self {
        let Self { runtime, config, folder } = self;
        drop(runtime);
        Self { runtime: WasmRuntime::open(config.clone()).await.unwrap(), config, folder }
    }

    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub fn image(&self, wasm: &[u8]) -> Image {
        let hex = Sha256::digest(wasm).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        let path = self.folder.path().join(&hex);
        fs::write(&path, wasm).unwrap();
        Image { digest: format!("sha256:{hex}"), path }
    }

    pub fn many(&self) -> Image {
        self.image(&knarr_image::text::component(include_str!("../guests/many.wat"), include_str!("../guests/many.wit")).unwrap())
    }

    pub fn hello(&self) -> Image {
        let (wat, wit) =
            (include_str!("../../../../examples/hello-wat/hello.wat"), include_str!("../../../../examples/hello-wat/hello.wit"));
        self.image(&knarr_image::text::component(wat, wit).unwrap())
    }

    pub fn command(&self) -> Image {
        self.image(&wat::parse_str(include_str!("../guests/command.wat")).unwrap())
    }

    /// A container of that domain, in a pod of its own.
    pub fn container(&self, image: &Image, domain: &str, name: &str) -> Container {
        let mut container = contract::container(image, name, 0, &self.logs());
        container.pod_uid = format!("{domain}-{name}");
        container.pod = format!("{domain}/{name}");
        container.domain = domain.into();
        container.env.insert("HOSTNAME".into(), name.into());
        container.log_path = self.logs().join(format!("{domain}-{name}.log"));
        container
    }

    /// Starts a container that serves, and says where.
    pub async fn serve(&self, image: &Image, domain: &str, name: &str) -> (ContainerId, SocketAddr) {
        self.serve_as(self.container(image, domain, name)).await
    }

    pub async fn serve_as(&self, container: Container) -> (ContainerId, SocketAddr) {
        let (container, socket) = contract::listening(container);
        let address = container.listen[0].address;
        (self.runtime.start(container, vec![socket]).await.unwrap(), address)
    }

    /// Runs a command to its end: exit code, reason, message, log.
    pub async fn run(&self, container: Container) -> (i32, String, String, String) {
        let log = container.log_path.clone();
        let id = self.runtime.start(container, vec![]).await.unwrap();
        let ended = self.ended(&id).await;
        let State::Exited { code, reason, message, .. } = ended.state else { unreachable!() };
        (code, reason, message, fs::read_to_string(log).unwrap())
    }

    pub async fn ended(&self, id: &ContainerId) -> Observed {
        contract::ended(&*self.runtime, id).await
    }

    /// Stops everything, so that runners end and nothing is left behind.
    pub async fn clear(self) {
        for seen in self.runtime.observe().await.unwrap() {
            self.runtime.stop(&seen.id, 0).await.unwrap();
            self.runtime.remove(&seen.id).await.unwrap();
        }
    }

    /// The process of a domain's runner: the one whose command line names this bench's folder and the domain.
    pub fn runner(&self, domain: &str) -> Option<u32> {
        let root = self.config.data_dir.join("domains").join(domain);
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
            words.get(1) == Some(&&b"runner"[..]) && words.contains(&root.as_os_str().as_encoded_bytes())
        })
    }
}

/// Sends one request and gives status and body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, &format!("GET {path} HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n")).await
}

pub async fn request(address: SocketAddr, text: &str) -> (u16, String) {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        parse(&String::from_utf8(answer).unwrap())
    };
    timeout(PATIENCE, conversation).await.unwrap_or_else(|_| panic!("no answer to {text:?}"))
}

/// Status and body of a whole answer; chunks are joined.
pub fn parse(answer: &str) -> (u16, String) {
    let (head, mut body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return (status, body.to_owned());
    }
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        body = rest[length..].strip_prefix("\r\n").unwrap_or_default();
    }
    (status, whole)
}

/// A number out of a process's status, such as `Uid` or `VmRSS`.
pub fn status(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
