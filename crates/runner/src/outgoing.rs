//! Guests' outgoing wasi:http: the only way out. The authority is resolved by the routing table; an endpoint in this runner is called in
//! process, any other over a socket that the agent connects and checks again.
use crate::{containers::Containers, live::Live, request};
use http_body_util::BodyExt;
use hyper::{Request, Response, Uri, client::conn::http1, http::uri::Scheme};
use hyper_util::rt::TokioIo;
use knarr_runtime::{Endpoint, Unroutable, protocol::ConnectError};
use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Also the most that a guest may ask for; wasi:http's own default is 600 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(60);
/// Endpoints tried for one request.
const TRIES: usize = 3;
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait to be sent. With `CHUNK_BYTES` it bounds what a body takes on the host.
const CHUNKS: usize = 8;

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Sending), Error>;

/// One guest's way out.
pub struct Outgoing {
    containers: Arc<Containers>,
    live: Arc<Live>,
}

impl Outgoing {
    pub fn new(containers: Arc<Containers>, live: Arc<Live>) -> Self {
        Self { containers, live }
    }
}

impl WasiHttpHooks for Outgoing {
    /// Inside a cluster plain HTTP is what is meant.
    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Sending,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (containers, live) = (self.containers.clone(), self.live.clone());
        Box::new(async move { send(&containers, &live, request, options.unwrap_or_default()).await })
    }
}

async fn send(containers: &Arc<Containers>, live: &Live, request: Request<WasiBody>, options: RequestOptions) -> Sent {
    if request.uri().scheme() == Some(&Scheme::HTTPS) {
        return Err(Error::InternalError(Some("https is not offered to pods yet".into())));
    }
    let host = request.uri().host().unwrap_or_default().to_owned();
    let port = request.uri().port_u16().unwrap_or(80);
    let found = containers.routes().resolve(live.container.namespace(), &host, port).map_err(unroutable)?;
    let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE_LIMIT).min(FIRST_BYTE_LIMIT);
    let connect = options.connect_timeout.unwrap_or(CONNECT_LIMIT).min(CONNECT_LIMIT);
    let mut refused = Error::ConnectionRefused;
    for endpoint in turn(&found).take(TRIES) {
        let address = endpoint.address();
        if let Some(served) = containers.serving(address) {
            let answered = timeout(first_byte, request::answer(&served, request)).await.map_err(|_| Error::ConnectionReadTimeout)?;
            let answered = answered.map(|body| body.map_err(|_| Error::HttpResponseIncomplete).boxed_unsync());
            return Ok((answered, Box::new(async { Ok(()) })));
        }
        match dial(containers, address, connect).await {
            Ok(stream) => return exchange(stream, request, first_byte).await,
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// All endpoints, each time beginning with another one.
fn turn(found: &[Endpoint]) -> impl Iterator<Item = &Endpoint> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let begin = TURN.fetch_add(1, Ordering::Relaxed) % found.len().max(1);
    found[begin..].iter().chain(&found[..begin])
}

fn unroutable(why: Unroutable) -> Error {
    match why {
        Unroutable::UnknownName => Error::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None },
        Unroutable::NoEndpoint => Error::ConnectionRefused,
        Unroutable::Prohibited => Error::DestinationIpProhibited,
    }
}

async fn dial(containers: &Containers, address: SocketAddr, limit: Duration) -> Result<tokio::net::TcpStream, Error> {
    let connected = timeout(limit, containers.agent.connect(address)).await.map_err(|_| Error::ConnectionTimeout)?;
    let socket = TcpStream::from(connected.map_err(|error| match error {
        ConnectError::Prohibited => Error::DestinationIpProhibited,
        ConnectError::Refused => Error::ConnectionRefused,
        ConnectError::TimedOut => Error::ConnectionTimeout,
        ConnectError::Unreachable => Error::DestinationUnavailable,
    })?);
    socket.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(socket)).map_err(Error::Connect)
}

async fn exchange(stream: tokio::net::TcpStream, mut request: Request<WasiBody>, first_byte: Duration) -> Sent {
    // As a request that goes to the server itself: only the path. The Host header names the authority.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>();
    *request.uri_mut() = path.map_err(|_| Error::HttpRequestUriInvalid)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Error::Hyper)?;
    // Aborted with whoever waits for it.
    let driver = wasmtime_wasi::runtime::spawn(connection);
    let response =
        timeout(first_byte, sender.send_request(request)).await.map_err(|_| Error::ConnectionReadTimeout)?.map_err(Error::Hyper)?;
    let sending = async move { driver.await.map_err(Error::Hyper) };
    Ok((response.map(|body| body.map_err(Error::Hyper).boxed_unsync()), Box::new(sending)))
}
