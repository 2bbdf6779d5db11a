//! The Ingress, from a client's socket to a pod's and back.
use crate::world::{Running, config, eventually, pod, with_ingress};
use base64::{Engine, engine::general_purpose::STANDARD};
use knarr_cluster::views::{Ingress, Secret};
use knarr_network::{Config, Error, IngressConfig, Network};
use knarr_runtime::PodNetwork;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const PODS: &str = "10.42.0.0/24";

fn rule(host: &str, path: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"name": "http"}}});
    json!({"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}})
}

fn started(folder: &tempfile::TempDir) -> Running {
    let running = Running::start(with_ingress(config(folder.path(), PODS)));
    running.put::<Ingress>("i", json!({"spec": {"rules": [rule("web.org", "/", "web"), rule("web.org", "/none", "none")]}}));
    running
}

/// A pod's server: answers each request on a connection with `name` and the head it got; closes after `most` requests.
fn serve(listener: TcpListener, name: &'static str, most: usize) {
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                for _ in 0..most {
                    if !answer_one(&mut reader, &stream, name) {
                        return;
                    }
                }
            });
        }
    });
}

fn answer_one(reader: &mut impl BufRead, mut stream: &TcpStream, name: &str) -> bool {
    let Some(head) = head(reader) else { return false };
    let body = format!("{name}\n{head}");
    // In one piece: two small ones wait for each other's acknowledgement.
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).is_ok()
}

fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        head.push_str(&line.to_ascii_lowercase());
    }
}

/// Sends one request on a connection of its own. The whole answer.
fn ask(to: SocketAddr, host: &str, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split_whitespace().nth(1).unwrap_or("nothing")
}

pub fn forwards() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(&folder);
    let (address, listener) = pod(&running.network, "a", 8080);
    serve(listener, "pod a", usize::MAX);
    running.service("web", 5, &[&address.to_string()]);
    running.service("none", 6, &[]);
    let to = running.http();
    eventually("200".to_owned(), || status(&ask(to, "web.org", "/", "")).to_owned());
    let answer = ask(to, "WEB.org:8080", "/x?y=1", "X-Forwarded-For: 198.51.100.9\r\nX-Own: 1\r\nConnection: x-own\r\n");
    for part in [
        "pod a",
        "get /x?y=1 http/1.1",
        "host: web.org:8080",
        "x-forwarded-for: 198.51.100.9, 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: web.org:8080",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert!(!answer.contains("x-own"), "{answer}");
    assert_eq!(status(&ask(to, "other.org", "/", "")), "404");
    assert_eq!(status(&ask(to, "web.org", "/none", "")), "503");
    assert_eq!(status(&ask(to, "", "/", "")), "400", "no host");
    running.put::<Ingress>("i", json!({"spec": {"ingressClassName": "other", "rules": [rule("web.org", "/", "web")]}}));
    eventually("404".to_owned(), || status(&ask(to, "web.org", "/", "")).to_owned());
    running.stop().remove().unwrap();
}

pub fn speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(with_ingress(config(folder.path(), PODS)));
    let made = rcgen::generate_simple_self_signed(vec!["web.org".to_owned()]).unwrap();
    running.put::<Secret>(
        "cert",
        json!({"type": "kubernetes.io/tls", "data": {"tls.crt": STANDARD.encode(made.cert.pem()),
        "tls.key": STANDARD.encode(made.signing_key.serialize_pem())}}),
    );
    running.put::<Ingress>(
        "i",
        json!({"spec": {"tls": [{"hosts": ["web.org"], "secretName": "cert"}], "rules": [rule("web.org", "/", "web")]}}),
    );
    let (address, listener) = pod(&running.network, "a", 8080);
    serve(listener, "pod a", usize::MAX);
    running.service("web", 5, &[&address.to_string()]);
    eventually("200".to_owned(), || status(&ask(running.http(), "web.org", "/", "")).to_owned());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let to = running.network.ingress_addresses().1.unwrap();
    let answer = running.handle().block_on(ask_https(to, roots.clone(), "web.org", &[b"h2"]));
    assert!(answer.as_ref().is_ok_and(|answer| answer.contains("pod a") && answer.contains("x-forwarded-proto: https")), "{answer:?}");
    let answer = running.handle().block_on(ask_https(to, roots.clone(), "other.org", &[b"h2"]));
    assert!(answer.is_err(), "another name is shown the default certificate, which nobody trusts: {answer:?}");
    running.stop().remove().unwrap();
}

/// An HTTP/2 request over TLS that is checked against `roots`.
async fn ask_https(to: SocketAddr, roots: rustls::RootCertStore, host: &str, protocols: &[&[u8]]) -> Result<String, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{host}/")).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Asks over one kept-alive connection until told to stop; counts answers and says what was not one.
fn hammer(to: SocketAddr, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> std::thread::JoinHandle<Option<String>> {
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while !stop.load(Ordering::SeqCst) {
            write!(stream, "GET / HTTP/1.1\r\nHost: web.org\r\n\r\n").unwrap();
            let head = head(&mut reader).unwrap_or_default();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            if !head.starts_with("http/1.1 200") {
                return Some(head);
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
        None
    })
}

pub fn replaces_pods() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(&folder);
    let (first, listener) = pod(&running.network, "pod-0", 8080);
    serve(listener, "0", usize::MAX);
    running.service("web", 5, &[&first.to_string()]);
    let to = running.http();
    eventually("200".to_owned(), || status(&ask(to, "web.org", "/", "")).to_owned());
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4).map(|_| hammer(to, Arc::clone(&stop), Arc::clone(&answered))).collect();
    let mut old = first;
    for generation in 1..12 {
        let (uid, gone) = (format!("pod-{generation}"), format!("pod-{}", generation - 1));
        let (new, listener) = pod(&running.network, &uid, 8080);
        serve(listener, "n", 50);
        running.endpoints("web", &[&new.to_string(), &old.to_string()]);
        running.endpoints("web", &[&new.to_string()]);
        let seen = answered.load(Ordering::SeqCst);
        eventually(true, || answered.load(Ordering::SeqCst) > seen + 40);
        running.network.release(&gone);
        old = new;
    }
    stop.store(true, Ordering::SeqCst);
    let failures: Vec<_> = clients.into_iter().filter_map(|client| client.join().unwrap()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let begun = Instant::now();
    running.stop().remove().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "idle connections do not hold up the end: {:?}", begun.elapsed());
}

pub fn survives_closed_connections() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(&folder);
    let (address, listener) = pod(&running.network, "a", 8080);
    serve(listener, "a", 1);
    running.service("web", 5, &[&address.to_string()]);
    let to = running.http();
    eventually("200".to_owned(), || status(&ask(to, "web.org", "/", "")).to_owned());
    for n in 0..200 {
        assert_eq!(status(&ask(to, "web.org", "/", "")), "200", "request {n}: the pod closed the connection after the one before");
    }
    running.stop().remove().unwrap();
}

pub fn upgrades() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(&folder);
    let (address, listener) = pod(&running.network, "a", 8080);
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    running.service("web", 5, &[&address.to_string()]);
    let to = running.http();
    eventually("101".to_owned(), || {
        let mut stream = TcpStream::connect(to).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: web.org\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
        status(&head(&mut BufReader::new(stream)).unwrap_or_default()).to_owned()
    });
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: web.org\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let answer = head(&mut reader).unwrap();
    assert!(answer.contains("upgrade: echo"), "{answer}");
    for word in ["one\n", "two\n"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, word);
    }
    drop((stream, reader));
    running.stop().remove().unwrap();
}

fn echo(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    if head(&mut reader).is_none_or(|head| !head.contains("upgrade: echo")) {
        return;
    }
    write!(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    // Until the client goes away.
    drop(std::io::copy(&mut reader, &mut stream));
}

pub fn writes_status() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(&folder);
    running.put::<Ingress>("foreign", json!({"spec": {"ingressClassName": "other"}}));
    let expected = json!({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}});
    eventually(true, || running.door.bodies("ingresses").contains(&expected));
    let about: Vec<_> = running.door.writes.lock().unwrap().iter().map(|(_, write)| write.target.key.name.to_string()).collect();
    assert!(about.iter().all(|name| name == "i"), "{about:?}");
    running.stop().remove().unwrap();
}

pub fn refuses_taken_ports() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ingress = Some(IngressConfig { http: Some(address), https: None, address: address.ip() });
    let begun = Instant::now();
    let opened = Network::open(Config { ingress, ..config(folder.path(), PODS) });
    assert!(matches!(&opened, Err(Error::Listen { address: told, .. }) if *told == address), "{:?}", opened.err());
    assert!(begun.elapsed() < Duration::from_secs(5));
}
