//! Logs: asked of the node that runs the pod, and passed on as they come.
use crate::{door::no_such_resource, query::Query, state::State};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use knarr_access::Pki;
use knarr_cluster::{View as _, views};
use knarr_machinery::{GroupResource, Key, Reason, Status};
use serde_json::Value;
use std::time::Duration;

/// A node that is there answers in milliseconds; what follows may take as long as it wants.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Idle connections kept for the next request to the same node.
const IDLE_PER_NODE: usize = 2;
/// What a kubelet understands of a log's query.
const PASSED_ON: &[&str] = &["follow", "previous", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes", "stream"];

/// How the server speaks to the agents of nodes: as one who may do everything.
pub struct Kubelets(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Kubelets {
    pub fn new(pki: &Pki) -> Result<Self, knarr_access::Error> {
        let own = pki.client_cert("kube-apiserver-kubelet-client", &["system:masters"])?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_PATIENCE));
        let tls = knarr_access::unverified(&own)?;
        let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().wrap_connector(http);
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IDLE_PER_NODE).build(https)))
    }
}

/// What there is to say of a pod's logs.
pub enum Logs {
    /// No node has it yet.
    Nothing,
    Stream(Response<Incoming>),
}

impl State {
    pub async fn logs(&self, key: &Key, query: &Query) -> Result<Logs, Status> {
        let pods = views::Pod::resource();
        let entry = self.shelf.get(&pods, key).ok_or_else(|| Status::not_found(&pods, &key.name))?;
        let pod: Value = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
        let container = container(&pod, &key.name, query.get("container"))?;
        let Some(node) = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) else { return Ok(Logs::Nothing) };
        let address = self.address(node)?;
        let passed: Vec<_> =
            query.pairs().filter(|(name, _)| PASSED_ON.contains(name)).map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let uri = format!("https://{address}/containerLogs/{}/{}/{container}?{}", key.namespace, key.name, passed.join("&"));
        let request = Request::get(&uri).body(Empty::new()).map_err(Status::internal)?;
        let response =
            self.kubelets.0.request(request).await.map_err(|error| Status::internal(format!("Get {uri:?}: {}", causes(&error))))?;
        if response.status().is_success() { Ok(Logs::Stream(response)) } else { Err(refused(response).await) }
    }

    /// Where a node's agent listens.
    fn address(&self, node: &str) -> Result<String, Status> {
        let nodes = GroupResource::new("", "nodes");
        let entry = self.shelf.get(&nodes, &Key::cluster(node)).ok_or_else(|| Status::not_found(&nodes, node))?;
        let node: Value = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
        address(&node)
            .ok_or_else(|| Status::internal(format!("no preferred addresses found; known addresses: {}", node["status"]["addresses"])))
    }
}

fn address(node: &Value) -> Option<String> {
    let list = node["status"]["addresses"].as_array()?;
    let ip = list.iter().find(|address| address["type"] == "InternalIP")?["address"].as_str()?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().filter(|port| *port != 0)?;
    Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
}

/// The container that is asked for; a pod of one need not name it.
fn container<'p>(pod: &'p Value, name: &str, asked: &'p str) -> Result<&'p str, Status> {
    let of = |field: &str| pod["spec"][field].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect::<Vec<_>>();
    let (init, main, ephemeral) = (of("initContainers"), of("containers"), of("ephemeralContainers"));
    let all = [init, main.clone(), ephemeral].concat();
    match (asked, main.as_slice()) {
        ("", [only]) if all.len() == 1 => Ok(only),
        ("", _) => {
            Err(Status::bad_request(format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "))))
        }
        (asked, _) if all.contains(&asked) => Ok(asked),
        (asked, _) => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
    }
}

/// What the node says no with, as a Status.
async fn refused(response: Response<Incoming>) -> Status {
    use http_body_util::BodyExt as _;
    /// A refusal is a line.
    const REFUSAL_MAX_BYTES: usize = 64 << 10;
    let code = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), REFUSAL_MAX_BYTES).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
    match code {
        400 => Status::bad_request(text),
        404 if text.is_empty() => no_such_resource(),
        404 => Status::new(404, Reason::NotFound, text),
        _ => Status::internal(text),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~:".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_of_one_container_need_not_name_it() {
        let one = json!({"spec": {"containers": [{"name": "c"}]}});
        let more = json!({"spec": {"initContainers": [{"name": "n"}], "containers": [{"name": "c"}, {"name": "d"}]}});
        let check = |pod: &Value, asked: &str, expected: Result<&str, &str>| {
            assert_eq!(container(pod, "p", asked).map_err(|s| s.message), expected.map_err(str::to_owned));
        };
        check(&one, "", Ok("c"));
        check(&more, "n", Ok("n"));
        check(&more, "", Err("a container name must be specified for pod p, choose one of: [n c d]"));
        check(&more, "zz", Err("container zz is not valid for pod p"));
    }

    #[test]
    fn a_node_says_where_its_agent_listens() {
        let node = |ip: &str, port: u16| json!({"status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": ip}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
        assert_eq!(address(&node("10.0.0.1", 10250)).as_deref(), Some("10.0.0.1:10250"));
        assert_eq!(address(&node("fd00::1", 10250)).as_deref(), Some("[fd00::1]:10250"));
        assert_eq!(address(&node("10.0.0.1", 0)), None);
        assert_eq!(address(&json!({})), None);
    }
}
