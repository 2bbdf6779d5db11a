//! HTTP for served containers: one connection, HTTP/1.1 or HTTP/2 with prior knowledge, and its bounds.
use crate::{containers::Containers, guest::Guest, live::Live, request};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    net::TcpStream,
    pin::pin,
    sync::{Arc, LazyLock},
    time::Duration,
};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// From connecting to the first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// From the first byte of a request to the end of its headers; also how long a connection may be idle between two requests.
const HEADERS: Duration = Duration::from_secs(30);
/// Headers of a request, with what of its body is read along.
const BUFFER_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const STREAMS_MAX: u32 = 100;
const PENDING_RESETS_MAX: usize = 20;
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// A container that serves.
pub struct Served {
    pub containers: Arc<Containers>,
    pub live: Arc<Live>,
    pub pre: ProxyPre<Guest>,
}

static SERVER: LazyLock<auto::Builder<TokioExecutor>> = LazyLock::new(|| {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(HEADERS_MAX)
        .half_close(true);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES);
    server
});

/// Serves one connection to its end.
pub async fn converse(served: Arc<Served>, socket: TcpStream) {
    let Ok(stream) = tokio::net::TcpStream::from_std(socket) else { return };
    // Without it small answers wait for the client's acknowledgement. A socket that refuses it still works.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(FIRST_BYTE, stream.readable()).await {
        Ok(Ok(())) => {}
        _ => return,
    }
    let closing = served.live.closing.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(request::answer(&served, request).await) }
    });
    let mut connection = pin!(SERVER.serve_connection(TokioIo::new(stream), answer));
    // What ends a connection early is the client's business: it is told by the protocol.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = closing.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
