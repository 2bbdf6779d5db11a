//! What the kubelet's server answers to which path.
use super::{container_logs, metrics, tls::Peer};
use crate::agent::Shared;
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use std::sync::Arc;

pub(super) fn router(shared: Arc<Shared>, peer: Peer) -> Router {
    let guarded = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs))
        .route("/metrics", get(node_metrics))
        .route("/metrics/cadvisor", get(container_metrics))
        .route("/pods", get(pods))
        .layer(from_fn(move |request: axum::extract::Request, next: Next| async move {
            match peer {
                Peer::Trusted => next.run(request).await,
                Peer::Known => (StatusCode::FORBIDDEN, "Forbidden").into_response(),
                Peer::Unknown => (StatusCode::UNAUTHORIZED, "Unauthorized").into_response(),
            }
        }));
    Router::new().route("/healthz", get(|| async { "ok" })).merge(guarded).with_state(shared)
}

async fn logs(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    match container_logs::answer(&shared, &namespace, &pod, &container, &container_logs::parse(query.as_deref().unwrap_or_default())).await
    {
        Ok(body) => ([(header::CONTENT_TYPE, "text/plain")], Body::new(body)).into_response(),
        Err((code, why)) => (code, why).into_response(),
    }
}

async fn node_metrics(State(shared): State<Arc<Shared>>) -> Response {
    text(metrics::of_node(&shared))
}

async fn container_metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.runtime.usage().await {
        Ok(usage) => text(metrics::of_containers(&shared, &usage)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn text(metrics: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics).into_response()
}

/// The pods of this node, as the API has them.
async fn pods(State(shared): State<Arc<Shared>>) -> Response {
    let mut body = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    for (index, entry) in shared.slots.entries().iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&entry.bytes);
    }
    body.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
