//! Asks a real agent's server over TLS.
use crate::{agent::tests::cluster::World, config::Kubelet};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A cluster's CA.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "knarr-ca");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, as PEM.
    fn sign(&self, name: &str, group: &str) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, who: Option<(String, String)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        match who {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        }
    }
}

async fn get(address: SocketAddr, client: ClientConfig, path: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "localhost").body(Empty::<&[u8]>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let code = answer.status().as_u16();
    (code, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn serves_administrators_and_nobody_else() {
    let (authority, stranger, world) = (Authority::new(), Authority::new(), World::new());
    let (certificate_pem, key_pem) = authority.sign("system:node:n1", "system:nodes");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let agent = world.agent(Kubelet { listener, certificate_pem, key_pem, client_ca_pem: authority.pem.clone() });
    world.put_pod(json!({"containers": [{"name": "web", "image": "i"}]}));
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    world.until_ready().await;
    let log = world.data.path().join("logs/shop_a_u1/web/0.log");
    std::fs::write(log, "2026-11-21T12:00:00Z stdout F one\n2026-11-21T12:00:01Z stdout F two\n").unwrap();

    let admin = || authority.client(Some(authority.sign("kubernetes-admin", "system:masters")));
    let node = || authority.client(Some(authority.sign("system:node:n2", "system:nodes")));
    for (client, path, code, says) in [
        (admin(), "/containerLogs/shop/a/web", 200, "one\ntwo\n"),
        (admin(), "/containerLogs/shop/a/web?tailLines=1&timestamps=true", 200, "2026-11-21T12:00:01Z two\n"),
        (admin(), "/containerLogs/shop/a/other", 404, "container \"other\" not found in pod \"a\""),
        (admin(), "/containerLogs/shop/b/web", 404, "pod \"b\" does not exist on this node"),
        (admin(), "/containerLogs/shop/a/web?previous=true", 400, "previous terminated container \"web\" in pod \"a\" not found"),
        (admin(), "/containerLogs/shop/a/web?tailLines=x", 400, "invalid value \"x\" for tailLines"),
        (node(), "/containerLogs/shop/a/web", 403, "Forbidden"),
        (authority.client(None), "/containerLogs/shop/a/web", 401, "Unauthorized"),
        (authority.client(None), "/healthz", 200, "ok"),
    ] {
        assert_eq!(get(address, client, path).await, (code, says.to_owned()), "{path}");
    }
    let (_, metrics) = get(address, admin(), "/metrics").await;
    assert!(metrics.contains("kubelet_running_pods 1\n") && metrics.contains("process_resident_memory_bytes "), "{metrics}");
    let (_, usage) = get(address, admin(), "/metrics/cadvisor").await;
    assert!(usage.contains("container_memory_working_set_bytes{namespace=\"shop\",pod=\"a\",container=\"web\"} 0\n"), "{usage}");
    let (_, pods) = get(address, admin(), "/pods").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&pods).unwrap()["items"][0]["metadata"]["name"], "a");

    // A certificate of another CA does not get through the handshake.
    let other = stranger.sign("kubernetes-admin", "system:masters");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(authority.client(Some(other))));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut answer = Vec::new();
    // With TLS 1.3 the client hears of the refusal when it reads.
    assert!(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.is_err());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_follower_is_let_go_when_the_container_has_ended() {
    let (authority, world) = (Authority::new(), World::new());
    let (certificate_pem, key_pem) = authority.sign("system:node:n1", "system:nodes");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let agent = world.agent(Kubelet { listener, certificate_pem, key_pem, client_ca_pem: authority.pem.clone() });
    world.put_pod(json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": "i"}]}));
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    world.until_ready().await;
    let log = world.data.path().join("logs/shop_a_u1/web/0.log");
    std::fs::write(&log, "2026-11-21T12:00:00Z stdout F one\n").unwrap();
    let admin = authority.client(Some(authority.sign("kubernetes-admin", "system:masters")));
    let following = tokio::spawn(get(address, admin, "/containerLogs/shop/a/web?follow=true"));
    world.runtime.exit(&knarr_runtime::ContainerId::new("u1", "web", 0), 0, "Completed", "");
    assert_eq!(following.await.unwrap(), (200, "one\n".to_owned()));
    stop.cancel();
    running.await.unwrap().unwrap();
}
