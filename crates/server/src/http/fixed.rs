//! The fixed paths: health, version, discovery, OpenAPI, metrics.
use super::{Asked, Connection, Reply, reply::Content};
use crate::{
    discovery,
    door::{method_not_allowed, no_such_resource},
    health::Health,
    openapi,
    version::version,
};
use http::{HeaderValue, Method, StatusCode, header};
use knarr_access::{Asked as May, authorize};
use knarr_machinery::Status;
use serde_json::Value;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Connection {
    pub(super) async fn fixed(&self, asked: Asked) -> Result<Reply, Status> {
        let verb = asked.method.as_str().to_ascii_lowercase();
        authorize(&asked.who, &May::Path { verb: &verb, path: &asked.path })?;
        let path = asked.path.trim_end_matches('/').to_owned();
        let is_read = matches!(asked.method, Method::GET | Method::HEAD);
        match path.split('/').nth(1).unwrap_or_default() {
            "livez" | "readyz" | "healthz" => self.health(&path, &asked).await,
            "version" | "api" | "apis" | "openapi" | "metrics" if !is_read => Err(method_not_allowed()),
            "version" => Ok(Reply::json(StatusCode::OK, format!("{:#}", version()))),
            "metrics" => Ok(Reply::of(StatusCode::OK, METRICS, self.state.metrics.text(&self.state))),
            "api" | "apis" => self.discovery(&path, &asked),
            "openapi" => self.openapi(&path, &asked),
            "" if is_read => Ok(self.root()),
            _ => Ok(Reply::no_page()),
        }
    }

    async fn health(&self, path: &str, asked: &Asked) -> Result<Reply, Status> {
        let Some(health) = Health::look(&self.state, path).await else { return Ok(Reply::no_page()) };
        let code = if health.is_well(&asked.query) { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        let mut reply = Reply::of(code, TEXT, health.text(&asked.query));
        reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(reply)
    }

    fn discovery(&self, path: &str, asked: &Asked) -> Result<Reply, Status> {
        let kinds = &self.state.kinds;
        if let Some((version, media)) = aggregated(path, asked.header(header::ACCEPT)) {
            let mut reply = Reply::of(StatusCode::OK, media, discovery::aggregated(kinds, path, version).to_string());
            reply.headers.insert(header::VARY, HeaderValue::from_static("Accept"));
            return Ok(tagged(reply, asked));
        }
        match discovery::document(kinds, path, asked.header(header::HOST)) {
            Some(document) => Ok(Reply::json(StatusCode::OK, document.to_string())),
            None => match path.split('/').collect::<Vec<_>>()[..] {
                [_, "apis", group, _] if discovery::has_group(kinds, group) => Err(no_such_resource()),
                [_, "api", _] => Err(no_such_resource()),
                _ => Ok(Reply::no_page()),
            },
        }
    }

    fn openapi(&self, path: &str, asked: &Asked) -> Result<Reply, Status> {
        let kinds = &self.state.kinds;
        if path == "/openapi/v2" {
            let document = openapi::v2::document(kinds, self.state.schema);
            return Ok(tagged(Reply::of(StatusCode::OK, openapi::v2::MEDIA, document), asked));
        }
        let document = match path {
            "/openapi/v3" => Some(openapi::index(kinds)),
            path => path.strip_prefix("/openapi/v3/").and_then(|path| openapi::document(kinds, self.state.schema, path)),
        };
        let Some(document) = document else { return Ok(Reply::no_page()) };
        let mut reply = Reply::json(StatusCode::OK, document.to_string());
        if asked.query.has("hash") {
            // Its address changes when it does.
            reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        Ok(tagged(reply, asked))
    }

    fn root(&self) -> Reply {
        let mut paths: Vec<String> =
            ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"].map(Into::into).into();
        for row in self.state.kinds.rows() {
            if row.group.is_empty() {
                paths.push(format!("/api/{}", row.version));
            } else {
                paths.extend([format!("/apis/{}", row.group), format!("/apis/{}/{}", row.group, row.version)]);
            }
        }
        paths.sort();
        paths.dedup();
        Reply::json(StatusCode::OK, Value::from_iter([("paths", paths)]).to_string())
    }
}

/// Which version of the aggregated form a client asks for first, if it does, and what the answer calls itself.
fn aggregated(path: &str, accept: &str) -> Option<(&'static str, &'static str)> {
    if !matches!(path, "/api" | "/apis") {
        return None;
    }
    for clause in accept.split(',') {
        let has = |wanted: &str| clause.split(';').any(|part| part.trim() == wanted);
        if !has("g=apidiscovery.k8s.io") || !has("as=APIGroupDiscoveryList") || !has("application/json") {
            if has("application/json") {
                return None;
            }
            continue;
        }
        if has("v=v2") {
            return Some(("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"));
        }
        if has("v=v2beta1") {
            return Some(("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"));
        }
    }
    None
}

/// With an ETag; without a body where the client has this one already.
fn tagged(mut reply: Reply, asked: &Asked) -> Reply {
    let Content::Whole(body) = &reply.content else { return reply };
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016X}\"", hasher.finish());
    if asked.header(header::IF_NONE_MATCH) == tag {
        reply.code = StatusCode::NOT_MODIFIED;
        reply.content = Content::Whole(bytes::Bytes::new());
    }
    if let Ok(value) = HeaderValue::from_str(&tag) {
        reply.headers.insert(header::ETAG, value);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregated_form_is_served_to_who_asks_first_for_it() {
        let check = |path: &str, accept: &str, expected: Option<&str>| {
            assert_eq!(aggregated(path, accept).map(|(version, _)| version), expected, "{path} {accept}")
        };
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        check("/apis", &format!("{v2},{beta},application/json"), Some("v2"));
        check("/api", &format!("{beta},application/json"), Some("v2beta1"));
        check("/apis", "application/json", None);
        check("/apis", &format!("application/json,{v2}"), None);
        check("/apis/apps", v2, None);
    }
}
