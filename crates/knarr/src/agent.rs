//! `knarr agent`: a node that joins a control plane elsewhere, with its address and a join token.
use crate::{
    node::{Node, Start, address_towards},
    options::AgentOptions,
    paths,
    up::until_told,
};
use anyhow::Context as _;
use knarr_cluster::{
    Clock, Cluster, Shelf, View,
    remote::{Access, JoinToken, Part, Remote, Singles, Source, feed, pinned_ca},
    views::{EndpointSlice, Ingress, Node as NodeView, Pod, Service},
};
use knarr_kinds::{Table, builtin};
use knarr_machinery::{GroupResource, Key};
use knarr_network::IngressConfig;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _},
    process::ExitCode,
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub async fn run(options: AgentOptions) -> anyhow::Result<ExitCode> {
    let data = paths::data_dir(options.data_dir.clone())?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let token: JoinToken = options.token.trim().parse()?;
    let ca_der = pinned_ca(&options.server, &token.ca_sha256).await?;
    let name = crate::node::name(&options.node)?;
    let access = Access::Token { url: options.server.clone(), ca_der: ca_der.clone(), token: token.bearer(&name) };
    let client = access.client().await?;
    admitted(&client, &options.server).await?;
    let (shelf, kinds) = (Shelf::remote(), Table::new(builtin()));
    for source in watched(&name) {
        tasks.spawn(feed(client.clone(), Arc::clone(&shelf), source, stop.clone()));
    }
    let door = Arc::new(Remote::new(client.clone(), Arc::clone(&shelf), kinds.clone()));
    let cluster = Cluster { shelf: Arc::clone(&shelf), door, clock: Clock::System };
    let peer = server_address(&options.server)?;
    let node = Node::start(
        Start {
            options: &options.node,
            data: &data,
            cluster,
            interest: Arc::new(Singles::new(client.clone(), shelf, kinds, stop.clone())),
            client_ca_pem: pem(&ca_der),
            address: options.node.node_ip.unwrap_or_else(|| address_towards(peer)),
            service_cidr: options.service_cidr,
            ingress: ingress(&options),
        },
        &tasks,
        &stop,
    )
    .await?;
    println!("node {} joins {}", node.name, options.server);
    until_told().await?;
    // Runners serve on: the next agent adopts them.
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}

/// A secret that the server does not know will not get better by waiting.
async fn admitted(client: &kube::Client, server: &str) -> anyhow::Result<()> {
    let request = http::Request::get("/version").body(Vec::new())?;
    match client.request_text(request).await {
        Err(kube::Error::Api(status)) if status.code == 401 => {
            anyhow::bail!("{server} does not accept this token: see <data-dir>/server/node-token there")
        }
        // A server that is away comes back; the feeds wait for it.
        _ => Ok(()),
    }
}

/// What a node's shelf holds: its own pods, and what routing needs. ConfigMaps and Secrets come one by one, as pods name them.
fn watched(node: &str) -> Vec<Source> {
    let whole = |resource: GroupResource, version: &str| Source { resource, version: version.into(), part: Part::Whole };
    vec![
        Source { resource: Pod::resource(), version: "v1".into(), part: Part::Selected(format!("spec.nodeName={node}")) },
        whole(Service::resource(), "v1"),
        whole(EndpointSlice::resource(), "v1"),
        whole(NodeView::resource(), "v1"),
        whole(Ingress::resource(), "v1"),
        Source {
            resource: GroupResource::new("coordination.k8s.io", "leases"),
            version: "v1".into(),
            part: Part::One(Key::new("kube-node-lease", node)),
        },
    ]
}

fn server_address(url: &str) -> anyhow::Result<SocketAddr> {
    let said = || format!("{url} is no server's address: https://HOST:PORT");
    let uri: http::Uri = url.parse().with_context(said)?;
    let host = uri.host().with_context(said)?.trim_matches(['[', ']']);
    (host, uri.port_u16().unwrap_or(443)).to_socket_addrs().with_context(said)?.next().with_context(said)
}

fn ingress(options: &AgentOptions) -> Option<IngressConfig> {
    let on = |port: u16| (port > 0).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let (http, https) = (on(options.http_port), on(options.https_port));
    (http.is_some() || https.is_some()).then_some(IngressConfig { http, https, address: IpAddr::V4(Ipv4Addr::LOCALHOST) })
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
