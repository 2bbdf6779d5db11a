//! The front door over HTTP. Whoever asks, the server sees the client's own credentials.
use super::request;
use crate::{Done, FrontDoor, Identity, Shelf, Verb, Write};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Pending, Revision, Status};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A server that has not answered by then is taken for away. A write may wait for webhooks, which have 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(34);
/// How long a write waits to see itself on the shelf. A watch is milliseconds behind; when it is broken, a late look is better than none.
const SEEN_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer taken: a page of 500 large objects.
const ANSWER_BYTES: usize = 256 << 20;

/// A server in another process, and the shelf that its feeds fill here.
pub struct Remote {
    client: kube::Client,
    shelf: Arc<Shelf>,
    kinds: Table,
}

impl Remote {
    /// `kinds` says which version each resource is written in.
    pub fn new(client: kube::Client, shelf: Arc<Shelf>, kinds: Table) -> Self {
        Self { client, shelf, kinds }
    }

    async fn write(&self, write: Write) -> Result<Done, Status> {
        let version = write.target.version.clone().unwrap_or_else(|| version_of(&self.kinds, &write.target.resource));
        let (code, headers, body) = send(&self.client, request::write(&write, &version)).await?;
        let done = answer(write.verb, code, &headers, body)?;
        if !write.options.dry_run {
            self.seen(&write.target.resource, done.revision).await;
        }
        Ok(done)
    }

    /// Waits until a feed has brought what was written, so that nobody looks at a shelf that is older than its own write.
    async fn seen(&self, resource: &GroupResource, revision: Revision) {
        let is_fed = self.shelf.known(resource) > Revision(0);
        if is_fed && timeout(SEEN_TIMEOUT, self.shelf.reached(resource, revision)).await.is_err() {
            tracing::debug!(%resource, %revision, "a write is not on the shelf yet");
        }
    }
}

impl FrontDoor for Remote {
    fn submit<'a>(&'a self, _who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        Box::pin(self.write(write))
    }
}

/// The version that a resource is spoken of in: the table's, or `v1`, which all stable ones have.
pub(super) fn version_of(kinds: &Table, resource: &GroupResource) -> String {
    kinds.by_resource(resource).map_or_else(|| "v1".into(), |kind| kind.version.to_string())
}

/// Sends a request and reads the whole answer.
pub(super) async fn send(client: &kube::Client, request: Request<Vec<u8>>) -> Result<(StatusCode, HeaderMap, Bytes), Status> {
    let unavailable = |error: &dyn std::fmt::Display| Status::unavailable(format!("the server cannot be reached: {error}"));
    let exchange = async {
        let answer = client.send(request.map(Into::into)).await.map_err(|error| unavailable(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| unavailable(&error))?;
        Ok((head.status, head.headers, body.to_bytes()))
    };
    timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(Status::unavailable("the server did not answer in time")))
}

/// What a server's answer to a write means. Pure.
fn answer(verb: Verb, code: StatusCode, headers: &HeaderMap, body: Bytes) -> Result<Done, Status> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Head {
        kind: String,
        metadata: Meta,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Meta {
        resource_version: Option<String>,
    }
    if !code.is_success() {
        return Err(Status::from_json(code.as_u16(), &body));
    }
    let head: Head =
        serde_json::from_slice(&body).map_err(|error| Status::internal(format!("the server's answer is no object: {error}")))?;
    Ok(Done {
        revision: head.metadata.resource_version.and_then(|revision| revision.parse().ok()).map(Revision).unwrap_or_default(),
        created: code == StatusCode::CREATED,
        // A delete that is done is told by a Status, one that only began by the object.
        pending: verb == Verb::Delete && (code == StatusCode::ACCEPTED || head.kind != "Status"),
        warnings: headers.get_all(header::WARNING).iter().filter_map(|value| warning(value.to_str().ok()?)).collect(),
        object: body,
    })
}

/// The text of a `Warning: 299 - "text"`.
fn warning(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 ")?.split_once(' ')?.1.strip_prefix('"')?;
    let (mut text, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_machinery::Reason;

    #[test]
    fn reads_what_servers_answer() {
        let check = |verb, code: u16, body: &'static str, want: Result<(u64, bool, bool), (u16, Reason)>| {
            let done = answer(verb, StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), Bytes::from_static(body.as_bytes()));
            let got = done.map(|done| (done.revision.0, done.created, done.pending)).map_err(|status| (status.code, status.reason));
            assert_eq!(got, want, "{code} {body}");
        };
        let pod = r#"{"kind":"Pod","metadata":{"name":"a","resourceVersion":"7"}}"#;
        check(Verb::Create, 201, pod, Ok((7, true, false)));
        check(Verb::Update, 200, pod, Ok((7, false, false)));
        check(Verb::Delete, 200, pod, Ok((7, false, true)));
        check(Verb::Delete, 200, r#"{"kind":"Status","metadata":{},"status":"Success"}"#, Ok((0, false, false)));
        let conflict = r#"{"kind":"Status","reason":"Conflict","message":"m","code":409}"#;
        check(Verb::Update, 409, conflict, Err((409, Reason::Conflict)));
        check(Verb::Update, 502, "bad gateway", Err((502, Reason::Unknown)));
        check(Verb::Update, 200, "no object", Err((500, Reason::InternalError)));
    }

    #[test]
    fn reads_warnings() {
        let check = |header: &str, want: Option<&str>| assert_eq!(warning(header).as_deref(), want, "{header}");
        check(r#"299 - "spec.x is deprecated""#, Some("spec.x is deprecated"));
        check(r#"299 - "unknown field \"spec.y\"""#, Some(r#"unknown field "spec.y""#));
        check(r#"299 - "cut off"#, None);
        check(r#"199 - "other""#, None);
    }
}
