//! The Ingress's listening side: TLS, HTTP/1.1 and HTTP/2, with every wait bounded.
use super::{certificates::Certificates, forward::Forwarder, headers::Client};
use crate::{Error, Result, error::Doing, sockets};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections of clients at once over each listener: a quarter of the descriptors of a small machine.
const CONNECTIONS: usize = 5_000;
/// A handshake is a round trip or two.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A whole head has to come within this time, and an idle connection is closed after it.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a head, and of what is buffered for one connection.
const HEAD_BYTES: usize = 64 << 10;
/// HTTP/2: as many streams as servers commonly allow; resets and header lists bounded against floods.
const STREAMS: u32 = 100;
const PENDING_RESETS: usize = 20;
const HEADER_LIST_BYTES: u32 = 16 << 10;
const PING: Duration = Duration::from_secs(30);
/// After `accept` failed (no descriptors are left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at the first bytes of a connection that sends them one by one.
const PEEK: Duration = Duration::from_millis(5);

/// What every HTTP/2 connection begins with; no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI";

pub fn tls(certificates: &Arc<Certificates>) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Certificate(error.to_string()))?;
    let mut config =
        builder.with_no_client_auth().with_cert_resolver(Arc::clone(certificates) as Arc<dyn rustls::server::ResolvesServerCert>);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves a listener until `stop`; nothing to do where there is none.
pub fn serve(
    socket: Option<std::net::TcpListener>,
    tls: Option<TlsAcceptor>,
    forwarder: &Arc<Forwarder>,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let Some(socket) = socket else { return Ok(()) };
    let listener = TcpListener::from_std(socket).doing("serving the Ingress")?;
    let door = Arc::new(Door { tls, forwarder: Arc::clone(forwarder), stop: stop.clone() });
    let (stop, connections) = (stop.clone(), tracker.clone());
    tracker.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = accept(listener, door, connections) => {}
        }
    });
    Ok(())
}

struct Door {
    tls: Option<TlsAcceptor>,
    forwarder: Arc<Forwarder>,
    stop: CancellationToken,
}

async fn accept(listener: TcpListener, door: Arc<Door>, connections: TaskTracker) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = door.greet(stream, from).await {
                        tracing::debug!(%from, %error, "a client's connection ended with an error");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the Ingress cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
}

impl Door {
    async fn greet(&self, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        sockets::settle(&stream)?;
        let Some(acceptor) = &self.tls else {
            let speaks_http2 = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                spoken = timeout(HEAD, begins_http2(&stream)) => spoken??,
            };
            return self.converse(stream, speaks_http2, from.ip(), "http").await;
        };
        let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.converse(stream, speaks_http2, from.ip(), "https").await
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        http2: bool,
        address: IpAddr,
        scheme: &'static str,
    ) -> io::Result<()> {
        let client = Client { address, scheme };
        let forwarder = Arc::clone(&self.forwarder);
        let service = service_fn(move |request: Request<Incoming>| {
            let forwarder = Arc::clone(&forwarder);
            async move { Ok::<_, Infallible>(forwarder.answer(request, client).await) }
        });
        // Both ends the same way: at `stop` no new request is taken, those in flight end.
        macro_rules! serve {
            ($connection:expr) => {{
                let mut connection = pin!($connection);
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                ended.map_err(io::Error::other)
            }};
        }
        if http2 {
            serve!(http2_server().serve_connection(TokioIo::new(stream), service))
        } else {
            serve!(http1_server().serve_connection(TokioIo::new(stream), service).with_upgrades())
        }
    }
}

fn http1_server() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    builder
}

fn http2_server() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_pending_accept_reset_streams(PENDING_RESETS);
    builder.max_header_list_size(HEADER_LIST_BYTES).keep_alive_interval(PING).keep_alive_timeout(HANDSHAKE);
    builder
}

/// Looks at the first bytes without taking them. They may come one by one; the caller bounds the wait.
async fn begins_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut first).await?;
        if count == 0 || !PREFACE.starts_with(&first[..count]) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        sleep(PEEK).await;
    }
}
