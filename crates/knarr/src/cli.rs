//! The command line, as clap reads it and `--help` teaches it.
use crate::{
    logging::LogFormat,
    options::{AgentOptions, ServerOptions, UpOptions},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Kubernetes-compatible orchestrator in one binary whose pods are WebAssembly components.
#[derive(Parser)]
#[command(
    name = "knarr",
    version,
    about,
    after_help = "Start here:\n  knarr demo               a whole cluster with a Wasm web server, in seconds\n  knarr run hello.wasm     one component as a pod\n  knarr up                 a single-node cluster to stay"
)]
pub struct Cli {
    /// How log lines are written to stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "KNARR_LOG_FORMAT")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Shows a cluster at work: three Wasm pods behind a Service and an Ingress, in a temporary folder.
    Demo(DemoOptions),
    /// Runs a single-node cluster: API server, controllers, scheduler, node agent and registry.
    Up(UpOptions),
    /// Runs the control plane alone.
    Server(ServerOptions),
    /// Runs the node agent alone and joins a control plane.
    Agent(AgentOptions),
    /// Runs a Wasm file as a pod and prints its URL, or its output and exit code.
    Run(RunOptions),
    /// Pushes a Wasm file to a registry.
    Push(PushOptions),
    /// Pulls a Wasm file out of a registry.
    Pull(PullOptions),
    /// Says what a Wasm file or image is: kind, WASI version, imports, exports.
    Inspect(InspectOptions),
    /// The images of this node.
    Image(ImageOptions),
    /// Creates or updates what manifests describe.
    Apply(ApplyOptions),
    /// Shows objects.
    Get(GetOptions),
    /// Prints what a pod wrote.
    Logs(LogsOptions),
    /// Deletes objects.
    Delete(DeleteOptions),
    /// Lists events, oldest first.
    Events(EventsOptions),
}

#[derive(Args)]
pub struct DemoOptions {
    /// End after the answers; exit 0 only if everything was right.
    #[arg(long)]
    pub once: bool,
}

#[derive(Args)]
pub struct RunOptions {
    /// A component (wasi:http or wasi:cli/run) or a core module with _start.
    pub file: PathBuf,
    /// The pod's name; made from the file's name where it is missing.
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub to: ClientOptions,
    /// Given to the guest.
    #[arg(last = true)]
    pub args: Vec<String>,
}

#[derive(Args)]
pub struct PushOptions {
    pub file: PathBuf,
    /// For example localhost:5000/team/web:v1.
    pub reference: String,
}

#[derive(Args)]
pub struct PullOptions {
    pub reference: String,
    /// Where to write it; the repository's last word with .wasm where it is missing.
    #[arg(long, short)]
    pub output: Option<PathBuf>,
}

#[derive(Args)]
pub struct InspectOptions {
    /// A file, or an image reference.
    pub what: String,
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Json,
}

#[derive(Args)]
pub struct ImageOptions {
    #[command(subcommand)]
    pub command: ImageCommand,
}

#[derive(Subcommand)]
pub enum ImageCommand {
    /// Takes a Wasm file into this node's images under a name, without any registry.
    Import {
        file: PathBuf,
        #[arg(long)]
        name: String,
        /// The data folder of the node.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// Lists this node's images.
    List {
        #[arg(long)]
        data_dir: Option<PathBuf>,
        #[arg(long, short, value_enum, default_value_t = Form::Text)]
        output: Form,
    },
}

/// Which cluster, and where in it.
#[derive(Args, Clone, Default)]
pub struct ClientOptions {
    /// The kubeconfig; else $KUBECONFIG, that of `knarr up`, or ~/.kube/config.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    #[arg(long, short)]
    pub namespace: Option<String>,
}

#[derive(Args)]
pub struct ApplyOptions {
    /// A manifest, a folder of them, or - for standard input.
    #[arg(long, short, required = true)]
    pub filename: Vec<PathBuf>,
    #[command(flatten)]
    pub to: ClientOptions,
}

#[derive(Args)]
pub struct GetOptions {
    /// `pods`, `deploy/web`, `pod web-1 web-2`, `all`.
    #[arg(required = true)]
    pub what: Vec<String>,
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    #[arg(long)]
    pub field_selector: Option<String>,
    /// json, yaml, wide, name.
    #[arg(long, short, value_enum)]
    pub output: Option<Output>,
    #[arg(long)]
    pub no_headers: bool,
    /// After listing, go on with changes.
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub from: ClientOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Json,
    Yaml,
    Wide,
    Name,
}

#[derive(Args)]
pub struct LogsOptions {
    /// `web-1` or `pod/web-1`.
    pub pod: String,
    #[arg(long, short)]
    pub container: Option<String>,
    #[arg(long, short)]
    pub follow: bool,
    #[arg(long, short)]
    pub previous: bool,
    /// Lines from the end.
    #[arg(long)]
    pub tail: Option<i64>,
    /// `10s`, `5m`, `2h`.
    #[arg(long)]
    pub since: Option<String>,
    #[arg(long)]
    pub timestamps: bool,
    #[command(flatten)]
    pub from: ClientOptions,
}

#[derive(Args)]
pub struct DeleteOptions {
    /// `pod web-1`, `deploy/web`.
    pub what: Vec<String>,
    #[arg(long, short)]
    pub filename: Vec<PathBuf>,
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    #[arg(long)]
    pub all: bool,
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Seconds; what the object says where it is missing.
    #[arg(long)]
    pub grace_period: Option<i64>,
    /// Return at once, while deletion goes on.
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub from: ClientOptions,
}

#[derive(Args)]
pub struct EventsOptions {
    /// Only events about this object: `pod/web-1`.
    #[arg(long = "for")]
    pub about: Option<String>,
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub from: ClientOptions,
}
