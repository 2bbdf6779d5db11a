//! The options of the roles `up`, `server` and `agent`.
use clap::{ArgAction, Args};
use ipnet::Ipv4Net;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Args, Clone)]
pub struct UpOptions {
    #[command(flatten)]
    pub server: ServerOptions,
    #[command(flatten)]
    pub node: NodeOptions,
    /// Where the Ingress answers HTTP.
    #[arg(long, default_value_t = 8080)]
    pub http_port: u16,
    /// Where the Ingress answers HTTPS.
    #[arg(long, default_value_t = 8443)]
    pub https_port: u16,
    /// Where the embedded registry answers, on loopback. 0 takes a free port.
    #[arg(long, default_value_t = 5000)]
    pub registry_port: u16,
}

#[derive(Args, Clone)]
pub struct ServerOptions {
    /// Everything that outlives the process; $KNARR_DATA_DIR, /var/lib/knarr for root, else ~/.local/share/knarr.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Where the API answers, over TLS.
    #[arg(long, default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// Where the administrator's kubeconfig is written (mode 0600); <data-dir>/kubeconfig where it is missing.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Further names and addresses of the API's certificate.
    #[arg(long = "tls-san")]
    pub tls_sans: Vec<String>,
    /// Control loops to run: '*' for all, '-*' for none, NAME, -NAME; as kube-controller-manager's.
    #[arg(long, default_value = "*", value_delimiter = ',', allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// Run the scheduler.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub scheduler: bool,
    /// Services' cluster IPs come from here.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cidr: Ipv4Net,
    /// Services' node ports come from here.
    #[arg(long, default_value = "30000-32767", value_parser = port_range)]
    pub node_ports: (u16, u16),
    /// Nodes' pod ranges come from here; a range that is free on this machine where it is missing.
    #[arg(long)]
    pub cluster_cidr: Option<Ipv4Net>,
    /// The size of a node's pod range: /18 are 16,000 pods.
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u8).range(8..=28))]
    pub node_cidr_mask_size: u8,
}

#[derive(Args, Clone)]
pub struct NodeOptions {
    /// The node's name; the host's name where it is missing.
    #[arg(long)]
    pub node_name: Option<String>,
    /// The address that other nodes reach this one by.
    #[arg(long)]
    pub node_ip: Option<std::net::IpAddr>,
    /// Which pods share a runner process: those of a namespace, or all of the node.
    #[arg(long, value_enum, default_value_t = Isolation::Namespace)]
    pub isolation: Isolation,
    /// Pod addresses in 127.0.0.0/8 instead of a network namespace of their own.
    #[arg(long)]
    pub loopback_network: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    Namespace,
    Node,
}

#[derive(Args, Clone)]
pub struct AgentOptions {
    /// The API server, https://HOST:PORT.
    #[arg(long, env = "KNARR_SERVER")]
    pub server: String,
    /// The join token: <data-dir>/server/node-token on the server.
    #[arg(long, env = "KNARR_TOKEN")]
    pub token: String,
    /// Everything that outlives the process.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub node: NodeOptions,
    /// The server's --service-cidr.
    #[arg(long, default_value = "10.96.0.0/16")]
    pub service_cidr: Ipv4Net,
    /// Where this node's Ingress answers HTTP; 0 for not at all.
    #[arg(long, default_value_t = 0)]
    pub http_port: u16,
    /// Where this node's Ingress answers HTTPS; 0 for not at all.
    #[arg(long, default_value_t = 0)]
    pub https_port: u16,
}

fn port_range(said: &str) -> Result<(u16, u16), String> {
    let range = said.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    range.filter(|(first, last)| first <= last && *first > 0).ok_or_else(|| "expected FIRST-LAST, for example 30000-32767".into())
}
