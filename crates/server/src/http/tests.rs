use crate::door::tests::{Bench, pod};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use knarr_cluster::{Change, Step};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A server behind a real socket, and clients that speak TLS to it.
struct Wire {
    bench: Arc<Bench>,
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Admin,
    Nobody,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http1,
    Http2,
}

impl Wire {
    async fn open() -> Self {
        let bench = Arc::new(Bench::open().await);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = tokio::spawn({
            let (bench, stop) = (Arc::clone(&bench), stop.clone());
            async move { bench.api.serve(listener, stop).await.unwrap() }
        });
        Self { bench, address, stop, served }
    }

    async fn send(&self, who: Who, speaks: Speaks, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        let mut roots = RootCertStore::empty();
        roots.add(self.bench.pki.ca().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match who {
            Who::Admin => {
                let (chain, key) = self.bench.pki.client_cert("admin", &["system:masters"]).unwrap().parts();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            Who::Nobody => config.with_no_client_auth(),
        };
        if speaks == Speaks::Http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let socket = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let tls =
            tokio_rustls::TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
        match speaks {
            Speaks::Http1 => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
            Speaks::Http2 => {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
        }
    }

    fn request(&self, method: Method, path: &str, content: &str, accept: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let builder = Request::builder().method(method).uri(format!("https://localhost{path}")).header(header::HOST, "localhost");
        builder.header(header::CONTENT_TYPE, content).header(header::ACCEPT, accept).body(Full::new(body.into())).unwrap()
    }

    /// As the administrator, in JSON.
    async fn json(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(Who::Admin, Speaks::Http1, self.request(method, path, media, "application/json", body)).await;
        let code = response.status().as_u16();
        (code, serde_json::from_slice(&response.collect().await.unwrap().to_bytes()).unwrap())
    }

    async fn get(&self, path: &str, accept: &str) -> (StatusCode, http::HeaderMap, Bytes) {
        let response = self.send(Who::Admin, Speaks::Http1, self.request(Method::GET, path, "", accept, "")).await;
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn watch(&self, path: &str) -> Events {
        let response = self.send(Who::Admin, Speaks::Http2, self.request(Method::GET, path, "", "application/json", "")).await;
        assert_eq!((response.status(), response.headers()[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "application/json"));
        Events { body: response.into_body(), text: vec![] }
    }
}

struct Events {
    body: Incoming,
    text: Vec<u8>,
}

impl Events {
    /// The next event; None when the server has ended the watch.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.text.extend_from_slice(&self.body.frame().await?.ok()?.into_data().ok()?);
        }
    }

    /// `ADDED a`.
    async fn say(&mut self) -> String {
        let event = self.next().await.unwrap();
        format!("{} {}", event["type"].as_str().unwrap(), event["object"]["metadata"]["name"].as_str().unwrap_or_default())
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"k": "v"}})
}

#[tokio::test]
async fn everybody_may_ask_for_health_and_nobody_for_more() {
    let wire = Wire::open().await;
    for (path, code, said) in [
        ("/livez", 200, "ok"),
        ("/readyz?verbose", 200, "readyz check passed"),
        ("/version", 200, "v1.37"),
        ("/api", 403, r#"User \"system:anonymous\" cannot get path \"/api\""#),
        ("/metrics", 403, "forbidden"),
        ("/api/v1/pods", 403, r#"pods is forbidden: User \"system:anonymous\" cannot list resource"#),
    ] {
        let response = wire.send(Who::Nobody, Speaks::Http1, wire.request(Method::GET, path, "", "*/*", "")).await;
        let found = response.status().as_u16();
        let text = response.collect().await.unwrap().to_bytes();
        assert!(found == code && String::from_utf8_lossy(&text).contains(said), "{path}: {found} {text:?}");
    }
}

#[tokio::test]
async fn a_nodes_token_names_the_node_and_a_wrong_one_is_refused() {
    let wire = Wire::open().await;
    for (token, code) in [(wire.bench.pki.join_token().bearer("node-1"), 201), ("wrong:node-1".into(), 401), ("wrong".into(), 401)] {
        let mut request =
            wire.request(Method::POST, "/api/v1/nodes", "application/json", "*/*", json!({"metadata": {"name": "node-1"}}).to_string());
        request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        assert_eq!(wire.send(Who::Nobody, Speaks::Http1, request).await.status().as_u16(), code);
    }
}

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() {
    let wire = Wire::open().await;
    let (code, made) = wire.json(Method::POST, CONFIG_MAPS, config_map("a")).await;
    assert_eq!((code, &made["kind"], &made["apiVersion"]), (201, &json!("ConfigMap"), &json!("v1")));
    let one = format!("{CONFIG_MAPS}/a");
    assert_eq!(wire.json(Method::GET, &one, Value::Null).await, (200, made));
    let (code, changed) = wire.json(Method::PATCH, &one, json!({"data": {"k": "w"}})).await;
    assert_eq!((code, &changed["data"]["k"]), (200, &json!("w")));
    let (code, list) = wire.json(Method::GET, CONFIG_MAPS, Value::Null).await;
    let item = &list["items"][0];
    assert_eq!((code, &list["kind"], &item["kind"], &item["metadata"]["name"]), (200, &json!("ConfigMapList"), &Value::Null, &json!("a")));
    let (code, gone) = wire.json(Method::DELETE, &one, json!({"propagationPolicy": "Background"})).await;
    assert_eq!((code, &gone["status"], &gone["details"]["name"]), (200, &json!("Success"), &json!("a")));
    let (code, missing) = wire.json(Method::GET, &one, Value::Null).await;
    assert_eq!((code, &missing["message"]), (404, &json!(r#"configmaps "a" not found"#)));
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_said_as_a_real_server_does() {
    let wire = Wire::open().await;
    for (method, path, code) in [
        (Method::GET, "/api/v1/nonsense", 404),
        (Method::GET, "/apis/apps/v9", 404),
        (Method::GET, "/api/v1/namespaces/default/configmaps/a/status", 404),
        (Method::POST, "/api/v1/namespaces/default/configmaps/a", 405),
        (Method::PUT, CONFIG_MAPS, 405),
        (Method::DELETE, "/api/v1/namespaces", 405),
        (Method::POST, "/version", 405),
    ] {
        let (found, status) = wire.json(method.clone(), path, Value::Null).await;
        assert_eq!((found, &status["kind"], &status["details"]), (code, &json!("Status"), &json!({})), "{method} {path}");
    }
    let (code, headers, text) = wire.get("/apis/nonsense", "*/*").await;
    assert_eq!(
        (code.as_u16(), headers[header::CONTENT_TYPE].to_str().unwrap(), &text[..]),
        (404, "text/plain; charset=utf-8", &b"404 page not found\n"[..])
    );
    let large = vec![b'x'; crate::decode::MAX_BODY_BYTES + 1];
    let response = wire.send(Who::Admin, Speaks::Http1, wire.request(Method::POST, CONFIG_MAPS, "application/json", "*/*", large)).await;
    assert_eq!(response.status().as_u16(), 413);
    let response = wire.send(Who::Admin, Speaks::Http1, wire.request(Method::POST, CONFIG_MAPS, "text/plain", "*/*", "{}")).await;
    assert_eq!(response.status().as_u16(), 415);
}

#[tokio::test]
async fn yaml_is_read_and_written_and_odd_fields_are_warned_of() {
    let wire = Wire::open().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\nnope: 1\n";
    let response =
        wire.send(Who::Admin, Speaks::Http1, wire.request(Method::POST, CONFIG_MAPS, "application/yaml", "application/yaml", yaml)).await;
    assert_eq!((response.status().as_u16(), response.headers()[header::CONTENT_TYPE].to_str().unwrap()), (201, "application/yaml"));
    assert_eq!(response.headers()[header::WARNING].to_str().unwrap(), r#"299 - "unknown field \"nope\"""#);
    let text = String::from_utf8(response.collect().await.unwrap().to_bytes().into()).unwrap();
    assert!(text.contains("kind: ConfigMap") && text.contains("name: web"), "{text}");
}

#[tokio::test]
async fn tables_and_bare_metadata_are_for_who_asks() {
    let wire = Wire::open().await;
    wire.json(Method::POST, CONFIG_MAPS, config_map("a")).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap();
    let list = read(wire.get(CONFIG_MAPS, table).await.2);
    assert_eq!(
        (&list["kind"], &list["rows"][0]["cells"][0], &list["rows"][0]["object"]["kind"]),
        (&json!("Table"), &json!("a"), &json!("PartialObjectMetadata"))
    );
    let one = read(wire.get(&format!("{CONFIG_MAPS}/a?includeObject=Object"), table).await.2);
    assert_eq!(one["rows"][0]["object"]["data"]["k"], "v");
    let partial = read(wire.get(CONFIG_MAPS, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.2);
    assert_eq!(
        (&partial["kind"], &partial["items"][0]["metadata"]["name"], &partial["items"][0]["data"]),
        (&json!("PartialObjectMetadataList"), &json!("a"), &Value::Null)
    );
    assert_eq!(wire.get(CONFIG_MAPS, "text/html").await.0.as_u16(), 406);
}

#[tokio::test]
async fn pages_stay_at_the_first_pages_revision() {
    let wire = Wire::open().await;
    for name in ["a", "b", "c"] {
        wire.json(Method::POST, CONFIG_MAPS, config_map(name)).await;
    }
    let (_, first) = wire.json(Method::GET, &format!("{CONFIG_MAPS}?limit=2"), Value::Null).await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["metadata"]["remainingItemCount"]), (2, &json!(1)));
    wire.json(Method::DELETE, &format!("{CONFIG_MAPS}/c"), Value::Null).await;
    wire.json(Method::POST, CONFIG_MAPS, config_map("d")).await;
    let (_, second) = wire.json(Method::GET, &format!("{CONFIG_MAPS}?limit=2&continue={token}"), Value::Null).await;
    let names: Vec<_> = second["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(
        (names, &second["metadata"]["resourceVersion"], &second["metadata"]["continue"]),
        (vec!["c"], &first["metadata"]["resourceVersion"], &Value::Null)
    );
    let (code, exact) = wire
        .json(
            Method::GET,
            &format!("{CONFIG_MAPS}?resourceVersion={}&resourceVersionMatch=Exact", first["metadata"]["resourceVersion"].as_str().unwrap()),
            Value::Null,
        )
        .await;
    assert_eq!((code, exact["items"].as_array().unwrap().len()), (200, 3));
}

#[tokio::test]
async fn many_are_deleted_by_a_selector() {
    let wire = Wire::open().await;
    for name in ["a", "b"] {
        wire.json(Method::POST, CONFIG_MAPS, config_map(name)).await;
    }
    let (code, list) = wire.json(Method::DELETE, &format!("{CONFIG_MAPS}?labelSelector=app%3Da"), Value::Null).await;
    assert_eq!((code, &list["items"][0]["metadata"]["name"]), (200, &json!("a")));
    let (_, left) = wire.json(Method::GET, CONFIG_MAPS, Value::Null).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_watch_tells_what_comes_changes_and_leaves_its_sight() {
    let wire = Wire::open().await;
    wire.json(Method::POST, CONFIG_MAPS, config_map("a")).await;
    let mut watch = wire.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Da")).await;
    assert_eq!(watch.say().await, "ADDED a");
    wire.json(Method::POST, CONFIG_MAPS, config_map("b")).await;
    wire.json(Method::PATCH, &format!("{CONFIG_MAPS}/a"), json!({"data": {"k": "w"}})).await;
    assert_eq!(watch.say().await, "MODIFIED a");
    let (_, left) = wire.json(Method::PATCH, &format!("{CONFIG_MAPS}/a"), json!({"metadata": {"labels": {"app": "z"}}})).await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["labels"]["app"]), (&json!("DELETED"), &json!("a")));
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    wire.json(Method::PATCH, &format!("{CONFIG_MAPS}/a"), json!({"metadata": {"labels": {"app": "a"}}})).await;
    assert_eq!(watch.say().await, "ADDED a");
    wire.json(Method::DELETE, &format!("{CONFIG_MAPS}/a"), Value::Null).await;
    assert_eq!(watch.say().await, "DELETED a");
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_bookmark_that_says_so() {
    let wire = Wire::open().await;
    wire.json(Method::POST, CONFIG_MAPS, config_map("a")).await;
    let mut watch = wire
        .watch(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"))
        .await;
    assert_eq!(watch.say().await, "ADDED a");
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_watch_goes_on_from_a_version_ends_in_time_and_says_when_that_is_gone() {
    let wire = Wire::open().await;
    let (_, made) = wire.json(Method::POST, CONFIG_MAPS, config_map("a")).await;
    let version = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    wire.json(Method::POST, CONFIG_MAPS, config_map("b")).await;
    let mut watch =
        wire.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}&timeoutSeconds=1&allowWatchBookmarks=true")).await;
    assert_eq!((watch.say().await.as_str(), watch.say().await.as_str()), ("ADDED b", "BOOKMARK "));
    assert_eq!(watch.next().await, None);
    // More than the shelf remembers.
    let shelf = wire.bench.api.cluster().shelf;
    let resource = knarr_machinery::GroupResource::new("", "configmaps");
    let large = "x".repeat(1 << 20);
    for at in 1..20 {
        let revision = knarr_machinery::Revision(1_000_000 + at);
        let object =
            json!({"metadata": {"name": "big", "namespace": "default", "resourceVersion": revision.to_string()}, "data": {"k": large}});
        shelf.apply(vec![Step { resource: resource.clone(), revision, change: Change::Put(object.to_string().into()) }]);
    }
    let mut watch = wire.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}")).await;
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"], &event["object"]["reason"]), (&json!("ERROR"), &json!(410), &json!("Expired")));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn stopping_ends_watches_and_lets_requests_finish() {
    let wire = Wire::open().await;
    let mut watch = wire.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    wire.stop.cancel();
    assert_eq!(watch.next().await, None);
    wire.served.await.unwrap();
    assert!(tokio::net::TcpStream::connect(wire.address).await.is_err());
}

#[tokio::test]
async fn who_speaks_no_tls_and_who_says_nothing_is_let_go() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let wire = Wire::open().await;
    let mut plain = tokio::net::TcpStream::connect(wire.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = vec![];
    // An alert, or nothing, and the end.
    assert!(plain.read_to_end(&mut said).await.is_err() || said.first() == Some(&21), "{said:?}");
    let mut silent = tokio::net::TcpStream::connect(wire.address).await.unwrap();
    assert!(silent.read_to_end(&mut said).await.is_ok());
}

#[tokio::test]
async fn logs_of_a_pod_without_a_node_are_nothing_and_of_a_lost_one_an_error() {
    let wire = Wire::open().await;
    let pods = "/api/v1/namespaces/default/pods";
    wire.json(Method::POST, pods, pod("p")).await;
    assert_eq!(wire.get(&format!("{pods}/p/log"), "*/*").await.0, StatusCode::NO_CONTENT);
    let (code, status) = wire.json(Method::GET, &format!("{pods}/p/log?container=zz"), Value::Null).await;
    assert_eq!((code, &status["message"]), (400, &json!("container zz is not valid for pod p")));
    let mut lost = pod("q");
    lost["spec"]["nodeName"] = json!("nowhere");
    wire.json(Method::POST, pods, lost).await;
    assert_eq!(wire.json(Method::GET, &format!("{pods}/q/log"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn discovery_openapi_and_metrics_are_there() {
    let wire = Wire::open().await;
    let (_, headers, body) =
        wire.get("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json").await;
    assert_eq!(headers[header::CONTENT_TYPE], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["kind"], "APIGroupDiscoveryList");
    let (_, index) = wire.json(Method::GET, "/openapi/v3", Value::Null).await;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let (code, document) = wire.json(Method::GET, &url, Value::Null).await;
    assert_eq!((code, &document["openapi"]), (200, &json!("3.0.0")));
    let (_, _, metrics) = wire.get("/metrics", "*/*").await;
    let metrics = String::from_utf8_lossy(&metrics);
    for expected in
        ["apiserver_request_total{code=\"200\"", "apiserver_storage_objects{resource=\"namespaces\"} 4", "process_resident_memory_bytes "]
    {
        assert!(metrics.contains(expected), "{expected}\n{metrics}");
    }
}
