//! One request: find who answers, pass it on, stream the answer back.
//!
//! A request is tried again only where the pod cannot have seen it, or where seeing it twice does no harm: it was never written, or it is
//! idempotent, has no body and went into a connection that the pod was closing (RFC 9110, 9.2.2).
use super::{
    headers::{self, Client},
    pool::{Lease, Pool},
    reply::{Reply, Upload},
    table::{Table, Upstream},
};
use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode, request::Parts};
use hyper::{
    body::{Body, Incoming},
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// How many pods a request tries.
const TRIES: usize = 3;
/// How long a pod may think before it begins its answer; as long as most proxies wait.
const THINK: Duration = Duration::from_secs(60);

pub struct Forwarder {
    table: Arc<ArcSwap<Table>>,
    pool: Arc<Pool>,
    tracker: TaskTracker,
}

/// How one try ended.
enum Outcome {
    Answered(Response<Incoming>, Lease),
    /// The pod has not seen it.
    Unsent(Request<Upload>),
    Failed(StatusCode),
}

impl Forwarder {
    pub fn new(table: Arc<ArcSwap<Table>>, pool: Arc<Pool>, tracker: TaskTracker) -> Self {
        Self { table, pool, tracker }
    }

    pub async fn answer(&self, mut request: Request<Incoming>, client: Client) -> Response<Reply> {
        let Some(host) = headers::host(&request) else { return Reply::said(StatusCode::BAD_REQUEST, "the request names no host\n") };
        let found = self.table.load().find(&host, request.uri().path()).cloned();
        let Some(upstream) = found else { return Reply::said(StatusCode::NOT_FOUND, "no Ingress has a rule for this host and path\n") };
        let switching = headers::upgrade(request.headers()).map(|_| upgrade::on(&mut request));
        headers::to_pod(&mut request, client);
        match self.send(request.map(|body| Upload(Some(body))), &upstream).await {
            Ok((response, lease)) => self.pass_back(response, lease, switching),
            Err(StatusCode::SERVICE_UNAVAILABLE) => Reply::said(StatusCode::SERVICE_UNAVAILABLE, "no pod is ready to answer\n"),
            Err(StatusCode::GATEWAY_TIMEOUT) => Reply::said(StatusCode::GATEWAY_TIMEOUT, "the pod does not answer\n"),
            Err(status) => Reply::said(status, "no pod could be reached\n"),
        }
    }

    async fn send(&self, mut request: Request<Upload>, upstream: &Upstream) -> Result<(Response<Incoming>, Lease), StatusCode> {
        let mut last = StatusCode::SERVICE_UNAVAILABLE;
        for address in upstream.in_turn().take(TRIES) {
            match self.try_pod(request, address).await {
                Outcome::Answered(response, lease) => return Ok((response, lease)),
                Outcome::Failed(status) => return Err(status),
                Outcome::Unsent(again) => request = again,
            }
            last = StatusCode::BAD_GATEWAY;
        }
        Err(last)
    }

    /// Tries one pod: over a kept connection, and once more over a new one where the kept one turns out to be dead.
    async fn try_pod(&self, request: Request<Upload>, address: SocketAddr) -> Outcome {
        let Ok(lease) = self.pool.connection(address).await else { return Outcome::Unsent(request) };
        if !lease.is_used {
            return ask(lease, request).await.unwrap_or(Outcome::Failed(StatusCode::BAD_GATEWAY));
        }
        let (parts, body) = request.into_parts();
        let spare = may_repeat(&parts, &body).then(|| parts.clone());
        let again = match (ask(lease, Request::from_parts(parts, body)).await, spare) {
            (Some(Outcome::Unsent(request)), _) => request,
            (Some(outcome), _) => return outcome,
            (None, Some(parts)) => Request::from_parts(parts, Upload(None)),
            (None, None) => return Outcome::Failed(StatusCode::BAD_GATEWAY),
        };
        let Ok(lease) = self.pool.new_connection(address).await else { return Outcome::Unsent(again) };
        ask(lease, again).await.unwrap_or(Outcome::Failed(StatusCode::BAD_GATEWAY))
    }

    fn pass_back(&self, mut response: Response<Incoming>, lease: Lease, switching: Option<OnUpgrade>) -> Response<Reply> {
        let switched = (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| headers::upgrade(response.headers())).flatten();
        headers::from_pod(response.headers_mut(), switched.clone());
        if let (Some(_), Some(client)) = (switched, switching) {
            let pod = upgrade::on(&mut response);
            self.tracker.spawn(bridge(client, pod));
        }
        response.map(|body| Reply::pod(body, lease))
    }
}

/// Sends a request over a connection. Nothing: the connection broke after the request was written and before any answer.
async fn ask(mut lease: Lease, request: Request<Upload>) -> Option<Outcome> {
    match timeout(THINK, lease.sender.try_send_request(request)).await {
        Ok(Ok(response)) => Some(Outcome::Answered(response, lease)),
        Ok(Err(mut error)) => error.take_message().map(Outcome::Unsent),
        Err(_) => Some(Outcome::Failed(StatusCode::GATEWAY_TIMEOUT)),
    }
}

fn may_repeat(parts: &Parts, body: &Upload) -> bool {
    parts.method.is_idempotent() && body.is_end_stream()
}

/// Carries bytes between both sides of a connection that changed its protocol.
async fn bridge(client: OnUpgrade, pod: OnUpgrade) {
    match tokio::try_join!(client, pod) {
        Ok((client, pod)) => {
            // How it ended is between the two; both are closed now.
            drop(tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(pod)).await);
        }
        Err(error) => tracing::debug!(%error, "a connection could not change its protocol"),
    }
}
