//! The socket: TLS, HTTP/1.1 and HTTP/2, every wait and every number bounded.
use crate::{Error, http::Connection, state::State};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use knarr_access::by_certificate;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// Connections at once. A client library needs one or two; beyond it new ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8192;
/// Who does not speak TLS by then never will.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// For the whole head of a request; also how long an idle HTTP/1.1 connection is kept.
const HEADER_PATIENCE: Duration = Duration::from_secs(60);
/// As upstream allows: client libraries keep a watch for each kind open on one connection.
const STREAMS_MAX: u32 = 250;
const HEADERS_MAX_BYTES: u32 = 16 << 10;
const PENDING_RESETS_MAX: usize = 20;
/// A peer that is gone without a word is noticed after these two.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// Requests in flight when the server stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept, which means that the process is out of descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

pub async fn serve(state: Arc<State>, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    let tls = TlsAcceptor::from(Arc::new(state.pki.server_config()?));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            permit = Arc::clone(&connections).acquire_owned() => permit.expect("nobody closes the semaphore"),
        };
        let socket = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            },
        };
        let (state, tls, stop, watcher) = (Arc::clone(&state), tls.clone(), stop.clone(), graceful.watcher());
        tokio::spawn(async move {
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(prepared(socket))) => shaken,
            };
            match shaken {
                Ok(Ok(stream)) => speak(stream, state, stop, watcher, permit).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("no TLS in time"),
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_PATIENCE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still in flight when the server stopped");
    }
    Ok(())
}

/// Answers are small and wanted now.
fn prepared(socket: TcpStream) -> TcpStream {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    socket
}

async fn speak(
    stream: TlsStream<TcpStream>,
    state: Arc<State>,
    stop: CancellationToken,
    graceful: hyper_util::server::graceful::Watcher,
    permit: OwnedSemaphorePermit,
) {
    let (_, tls) = stream.get_ref();
    let who = tls.peer_certificates().and_then(<[_]>::first).and_then(|certificate| by_certificate(certificate));
    let is_http2 = tls.alpn_protocol() == Some(b"h2");
    let connection = Connection { state, who, stop };
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, std::convert::Infallible>(connection.answer(request).await) }
    });
    let io = TokioIo::new(stream);
    let ended = if is_http2 {
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX_BYTES)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE);
        graceful.watch(http.serve_connection(io, service)).await
    } else {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
        graceful.watch(http.serve_connection(io, service)).await
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    drop(permit);
}
