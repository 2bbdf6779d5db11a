//! A request over HTTP: who asks, what for, and the answer in the form they accept. Knows no kind.
mod fixed;
mod reply;
mod resource;

pub use reply::{Body, Reply};

use crate::{
    metrics::Labels,
    query::Query,
    request::{Named, Route, route},
    state::State,
};
use http::{Method, Request, header};
use hyper::body::Incoming;
use knarr_access::{anonymous, by_bearer};
use knarr_cluster::Identity;
use knarr_machinery::{Reason, Status};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// What all requests of one connection share.
#[derive(Clone)]
pub struct Connection {
    pub state: Arc<State>,
    /// By client certificate.
    pub who: Option<Identity>,
    /// Watches end when it is cancelled.
    pub stop: CancellationToken,
}

/// One request, its body not yet read.
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: Query,
    pub headers: http::HeaderMap,
    pub body: Incoming,
    pub who: Identity,
}

impl Asked {
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Connection {
    pub async fn answer(self, request: Request<Incoming>) -> http::Response<Body> {
        let began = Instant::now();
        self.state.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        let accepts_gzip = reply::accepts_gzip(request.headers());
        let (labels, reply) = self.reply(request).await;
        self.state.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.state.metrics.count(labels, reply.code.as_u16(), began.elapsed());
        reply.into_response(accepts_gzip)
    }

    async fn reply(&self, request: Request<Incoming>) -> (Labels, Reply) {
        let (head, body) = request.into_parts();
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let found = route(head.uri.path());
        let labels = self.labels(&head.method, &found, &query);
        let who = match self.authenticate(&head.headers) {
            Ok(who) => who,
            Err(status) => return (labels, Reply::status(&status)),
        };
        let asked = Asked { method: head.method, path: head.uri.path().to_owned(), query, headers: head.headers, body, who };
        let reply = match found {
            Route::Path => self.fixed(asked).await,
            Route::Resource(named) => self.resource(named, asked).await,
        };
        (labels, reply.unwrap_or_else(|status| Reply::status(&status)))
    }

    /// A certificate, else a bearer token, else nobody. Any other scheme counts as nothing shown.
    fn authenticate(&self, headers: &http::HeaderMap) -> Result<Identity, Status> {
        if let Some(who) = &self.who {
            return Ok(who.clone());
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match shown.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => by_bearer(&self.state.pki, token.trim()),
            _ => Ok(anonymous()),
        }
    }

    /// What a request is counted under: only names that the table has.
    fn labels(&self, method: &Method, found: &Route, query: &Query) -> Labels {
        let verb = match method.as_str() {
            "GET" | "HEAD" if query.is_true("watch") => "WATCH",
            "GET" | "HEAD" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let mut labels = Labels { verb, group: String::new(), version: String::new(), resource: String::new(), subresource: String::new() };
        let Route::Resource(named) = found else { return labels };
        let Named { group, version, plural, name, subresource, .. } = named;
        if let Some(row) = self.state.kinds.by_path(group, version, plural) {
            (labels.group, labels.version, labels.resource) = (row.group.to_string(), row.version.to_string(), row.plural.to_string());
            let known = row.subresources.iter().find(|sub| Some(sub.path()) == subresource.as_deref());
            labels.subresource = known.map_or_else(String::new, |sub| sub.path().into());
            labels.verb = match (verb, name.is_empty()) {
                ("GET", true) => "LIST",
                ("DELETE", true) => "DELETECOLLECTION",
                _ => verb,
            };
        }
        labels
    }
}

/// The whole body, within its bound.
pub async fn read_body(body: Incoming) -> Result<bytes::Bytes, Status> {
    use http_body_util::{BodyExt as _, LengthLimitError, Limited};
    match Limited::new(body, crate::decode::MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            let message = format!("Request entity too large: limit is {}", crate::decode::MAX_BODY_BYTES);
            Err(Status::new(413, Reason::RequestEntityTooLarge, message))
        }
        Err(error) => Err(Status::bad_request(format!("the body cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests;
