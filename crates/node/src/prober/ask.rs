//! One probe: a real HTTP request, or a connection.
use crate::probe::{Outcome, Target};
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use knarr_runtime::PodNetwork;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Who knocks, as Kubernetes has it.
const USER_AGENT: &str = "kube-probe/1.37";

pub async fn ask(network: &dyn PodNetwork, target: &Target, timeout: Duration) -> Outcome {
    match target {
        Target::Impossible(why) => Outcome::Failure(why.clone()),
        Target::Tcp { host, port } => match connect(network, host, *port, timeout).await {
            Ok(_) => Outcome::Success,
            Err(e) => Outcome::Failure(dial_failed(host, *port, &e)),
        },
        Target::Http { host, port, path, headers, tls } => {
            let url = format!("{}://{}{path}", if *tls { "https" } else { "http" }, authority(host, *port));
            // A guest's HTTP is served in plain text: there is no server with a certificate behind it.
            if *tls {
                return Outcome::Failure(format!("Get {url:?}: http: server gave HTTP response to HTTPS client"));
            }
            match tokio::time::timeout(timeout, get(network, host, *port, path, headers, timeout)).await {
                Ok(Ok(code)) if (200..400).contains(&code) => Outcome::Success,
                Ok(Ok(code)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {code}")),
                Ok(Err(why)) => Outcome::Failure(format!("Get {url:?}: {why}")),
                Err(_) => {
                    let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
                    Outcome::Failure(format!("Get {url:?}: {why}"))
                }
            }
        }
    }
}

/// The status code. The body is of no interest: the connection is closed on it.
async fn get(
    network: &dyn PodNetwork,
    host: &str,
    port: u16,
    path: &str,
    headers: &[(String, String)],
    timeout: Duration,
) -> Result<u16, String> {
    let stream = connect(network, host, port, timeout).await.map_err(|e| dial_failed(host, port, &e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let request = request(host, port, path, headers)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // It drives the request. When it has ended, the answer or the error is there to be taken.
        _ = connection => answer.await,
    };
    answer.map(|answer| answer.status().as_u16()).map_err(|e| if e.is_incomplete_message() { "EOF".into() } else { e.to_string() })
}

fn request(host: &str, port: u16, path: &str, headers: &[(String, String)]) -> Result<Request<Empty<&'static [u8]>>, String> {
    let mut request = Request::get(path).body(Empty::new()).map_err(|e| e.to_string())?;
    let own = request.headers_mut();
    own.insert(header::HOST, HeaderValue::from_str(&authority(host, port)).map_err(|e| e.to_string())?);
    own.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    own.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    own.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
        own.insert(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
    }
    Ok(request)
}

async fn connect(network: &dyn PodNetwork, host: &str, port: u16, timeout: Duration) -> io::Result<tokio::net::TcpStream> {
    let address: IpAddr = host.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "probes go to IP addresses only"))?;
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    network.connect(SocketAddr::new(address, port), timeout_ms).await
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn dial_failed(host: &str, port: u16, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        io::ErrorKind::TimedOut => "i/o timeout".into(),
        _ => error.to_string(),
    };
    format!("dial tcp {}: {why}", authority(host, port))
}
