//! Requests for resources: reads from the shelf, writes through the front door.
use super::{Asked, Connection, Reply, read_body};
use crate::{
    answer::{self, Accepted, Form, Notation},
    decode::{self, Media},
    discovery,
    door::{Door, method_not_allowed, no_such_resource, scale_of},
    logs::Logs,
    request::{self, Named},
    selection::Selection,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, StatusCode, header};
use knarr_access::{Asked as May, authorize};
use knarr_cluster::{Done, FrontDoor as _, Options, PatchType, Target, Verb, Write};
use knarr_kinds::{Kind, Sub};
use knarr_machinery::{Key, Reason, Status};
use serde_json::Value;
use std::sync::{Arc, atomic::Ordering};

/// Deletes of one deletecollection in flight: enough to share commits.
const DELETES_AT_ONCE: usize = 32;

/// What a request for a resource is about, once it is found in the table.
struct About {
    named: Named,
    kind: Arc<Kind>,
    sub: Option<Sub>,
    accepted: Accepted,
}

impl About {
    fn key(&self) -> Key {
        if self.kind.namespaced { Key::new(&self.named.namespace, &self.named.name) } else { Key::cluster(&self.named.name) }
    }

    fn target(&self, key: Key) -> Target {
        let subresource = self.sub.map(|sub| sub.path().to_owned());
        Target { resource: self.kind.resource(), version: Some(self.kind.version.to_string()), key, subresource }
    }
}

impl Connection {
    pub(super) async fn resource(&self, named: Named, asked: Asked) -> Result<Reply, Status> {
        let watches = asked.query.is_true("watch");
        let verb = request::verb(&asked.method, &named, watches);
        permit(&named, verb, &asked)?;
        let Some(kind) = self.state.kinds.by_path(&named.group, &named.version, &named.plural).cloned() else {
            return if discovery::has_group(&self.state.kinds, &named.group) { Err(no_such_resource()) } else { Ok(Reply::no_page()) };
        };
        let sub = match &named.subresource {
            None => None,
            Some(path) => Some(kind.subresources.iter().copied().find(|sub| sub.path() == path.as_str()).ok_or_else(no_such_resource)?),
        };
        let accepted = answer::accepted(asked.header(header::ACCEPT), asked.query.get("includeObject"))?;
        let about = About { named, kind, sub, accepted };
        if sub.is_none() && !discovery::verbs(&about.kind).contains(&verb) {
            return Err(method_not_allowed());
        }
        match (verb, sub) {
            ("get", _) if asked.method != Method::GET => Err(method_not_allowed()),
            ("get", None | Some(Sub::Status | Sub::Scale)) => self.get(&about, &asked).await,
            ("get", Some(Sub::Log)) => self.logs(&about, &asked).await,
            ("list", None) => self.list(&about, &asked).await,
            ("watch", None) => self.watch(&about, &asked).await,
            ("deletecollection", None) => self.delete_many(&about, asked).await,
            ("create", None) if !about.named.name.is_empty() => Err(method_not_allowed()),
            // Without a namespace there is only the list of all of them.
            ("create", None) if about.kind.namespaced && about.named.namespace.is_empty() => Err(method_not_allowed()),
            ("create" | "update" | "patch" | "delete", _)
                if sub.is_some() == about.named.subresource.is_some() && (!about.named.name.is_empty() || verb == "create") =>
            {
                self.write(&about, asked).await
            }
            _ => Err(method_not_allowed()),
        }
    }

    async fn get(&self, about: &About, asked: &Asked) -> Result<Reply, Status> {
        let storage = about.kind.storage();
        if let Some(wanted) = asked.query.revision()? {
            self.state.wait_for(&storage, wanted).await?;
        }
        let entry =
            self.state.shelf.get(&storage, &about.key()).ok_or_else(|| Status::not_found(&about.kind.resource(), &about.named.name))?;
        if about.sub == Some(Sub::Scale) {
            let workload: Value = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
            return Ok(Reply::json(StatusCode::OK, scale_of(&workload).to_string()));
        }
        let object = answer::served(&about.kind, entry.bytes.clone())?;
        let body = answer::object(&about.kind, &object, about.accepted.form, self.state.clock.now())?;
        noted(StatusCode::OK, body, about.accepted, asked)
    }

    async fn list(&self, about: &About, asked: &Asked) -> Result<Reply, Status> {
        let selection = Selection::parse(&about.kind, &about.named, &asked.query)?;
        let listed = self.state.list(&about.kind, &selection, &asked.query).await?;
        let body = answer::list(&about.kind, &listed.entries, &listed.meta, about.accepted.form, self.state.clock.now())?;
        noted(StatusCode::OK, body, about.accepted, asked)
    }

    async fn watch(&self, about: &About, asked: &Asked) -> Result<Reply, Status> {
        let selection = Selection::parse(&about.kind, &about.named, &asked.query)?;
        let events = self.state.watch(&about.kind, selection, &asked.query, about.accepted, self.stop.clone()).await?;
        let open = Open::count(Arc::clone(&self.state));
        // The count goes down when the client's stream is dropped, however it ends.
        Ok(Reply::stream("application/json", events.map(move |event| (event, &open).0)))
    }

    async fn logs(&self, about: &About, asked: &Asked) -> Result<Reply, Status> {
        match self.state.logs(&about.key(), &asked.query).await? {
            Logs::Nothing => Ok(Reply::of(StatusCode::NO_CONTENT, "text/plain", Bytes::new())),
            Logs::Stream(response) => {
                use http_body_util::BodyExt as _;
                let mut reply = Reply::of(StatusCode::OK, "text/plain", Bytes::new());
                reply.content = super::reply::Content::Stream(response.into_body().map_err(Into::into).boxed_unsync());
                Ok(reply)
            }
        }
    }

    async fn write(&self, about: &About, asked: Asked) -> Result<Reply, Status> {
        let (query, accepted) = (asked.query.clone(), about.accepted);
        let agent = asked.header(header::USER_AGENT).to_owned();
        let content_type = asked.header(header::CONTENT_TYPE).to_owned();
        let who = asked.who.clone();
        let (verb, options, body) = match asked.method.as_str() {
            "DELETE" => {
                let body = read_body(asked.body).await?;
                (Verb::Delete, self.delete_options(&query, &content_type, &body)?, Bytes::new())
            }
            "PATCH" => {
                let how = patch_type(&content_type)?;
                (Verb::Patch(how), query.write_options("PatchOptions", &agent)?, read_body(asked.body).await?)
            }
            method => {
                let verb = if method == "PUT" { Verb::Update } else { Verb::Create };
                let media = Media::of(&content_type)?;
                let body = read_body(asked.body).await?;
                let (api_version, kind) = expected(about);
                let body = decode::to_json(self.state.schema, media, &body, &api_version, &kind)?;
                let options = query.write_options(if verb == Verb::Update { "UpdateOptions" } else { "CreateOptions" }, &agent)?;
                (verb, options, body.into())
            }
        };
        let key = if verb == Verb::Create && about.sub.is_none() { Key::new(&about.key().namespace, "") } else { about.key() };
        let write = Write { verb, target: about.target(key), body, options };
        let done = Door(Arc::clone(&self.state)).submit(&who, write).await?;
        let code = if done.created { StatusCode::CREATED } else { StatusCode::OK };
        let body = shaped(about, &done, accepted.form, self.state.clock.now())?;
        Ok(written(code, body, accepted)?.warn(&done.warnings))
    }

    async fn delete_many(&self, about: &About, asked: Asked) -> Result<Reply, Status> {
        let selection = Selection::parse(&about.kind, &about.named, &asked.query)?;
        let listed = self.state.list(&about.kind, &selection, &asked.query).await?;
        let content_type = asked.header(header::CONTENT_TYPE).to_owned();
        let (query, who) = (asked.query.clone(), asked.who.clone());
        let options = self.delete_options(&query, &content_type, &read_body(asked.body).await?)?;
        let door = Door(Arc::clone(&self.state));
        let write =
            |key: &Key| Write { verb: Verb::Delete, target: about.target(key.clone()), body: Bytes::new(), options: options.clone() };
        let writes: Vec<_> = listed.entries.iter().map(|entry| write(&entry.key)).collect();
        let deletes = futures_util::stream::iter(writes).map(|write| {
            let (door, who) = (door.clone(), who.clone());
            async move { door.submit(&who, write).await }
        });
        let outcomes: Vec<Result<Done, Status>> = deletes.buffer_unordered(DELETES_AT_ONCE).collect().await;
        // Somebody else was faster: what shall go is gone.
        if let Some(status) = outcomes.into_iter().filter_map(Result::err).find(|status| status.reason != Reason::NotFound) {
            return Err(status);
        }
        let body = answer::list(&about.kind, &listed.entries, &listed.meta, about.accepted.form, self.state.clock.now())?;
        written(StatusCode::OK, body, about.accepted)
    }

    fn delete_options(&self, query: &crate::query::Query, content_type: &str, body: &[u8]) -> Result<Options, Status> {
        let media = if body.is_empty() { Media::Json } else { Media::of(content_type)? };
        let said = decode::delete_options(self.state.schema, media, body)?;
        query.delete_options(said.as_ref())
    }
}

/// An open watch, counted for as long as it lives.
struct Open(Arc<crate::state::State>);

impl Open {
    fn count(state: Arc<crate::state::State>) -> Self {
        state.metrics.watches.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// May they, asked before anything is told of what there is.
fn permit(named: &Named, verb: &str, asked: &Asked) -> Result<(), Status> {
    // A list of one name is a question about that object.
    let selected = || {
        let fields = knarr_machinery::selector::Fields::parse(asked.query.get("fieldSelector")).ok()?;
        fields.exact("metadata.name").map(str::to_owned)
    };
    let name = if matches!(verb, "list" | "watch") { selected().unwrap_or_default() } else { named.name.clone() };
    let (resource, subresource) = (named.resource(), named.subresource.as_deref().map(|path| path.split('/').next().unwrap_or_default()));
    authorize(&asked.who, &May::Resource { verb, resource: &resource, subresource, namespace: &named.namespace, name: &name })
}

/// What a body is expected to be.
fn expected(about: &About) -> (String, String) {
    match about.sub {
        Some(Sub::Scale) => ("autoscaling/v1".into(), "Scale".into()),
        Some(Sub::Binding) => ("v1".into(), "Binding".into()),
        Some(Sub::Eviction) => ("policy/v1".into(), "Eviction".into()),
        _ => (about.kind.api_version(), about.kind.kind.to_string()),
    }
}

fn patch_type(content_type: &str) -> Result<PatchType, Status> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        _ => {
            let accepted = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";
            let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
            Err(Status::new(415, Reason::UnsupportedMediaType, message))
        }
    }
}

/// What was done, in the form that is accepted. A Status, a Scale and a review are what they are.
fn shaped(about: &About, done: &Done, form: Form, now: jiff::Timestamp) -> Result<Bytes, Status> {
    #[derive(serde::Deserialize)]
    struct Typed {
        kind: String,
    }
    let is_own = about.sub.is_none_or(|sub| sub == Sub::Status)
        && serde_json::from_slice::<Typed>(&done.object).is_ok_and(|typed| typed.kind == *about.kind.kind);
    if is_own && !about.kind.ephemeral { answer::object(&about.kind, &done.object, form, now) } else { Ok(done.object.clone()) }
}

/// An answer to a read, indented where somebody wants to look at it.
fn noted(code: StatusCode, body: Bytes, accepted: Accepted, asked: &Asked) -> Result<Reply, Status> {
    if accepted.notation == Notation::Json && asked.query.is_true("pretty") {
        let value: Value = serde_json::from_slice(&body).map_err(Status::internal)?;
        return Ok(Reply::json(code, format!("{value:#}\n")));
    }
    written(code, body, accepted)
}

fn written(code: StatusCode, body: Bytes, accepted: Accepted) -> Result<Reply, Status> {
    match accepted.notation {
        Notation::Json => Ok(Reply::json(code, body)),
        Notation::Yaml => {
            let value: Value = serde_json::from_slice(&body).map_err(Status::internal)?;
            Ok(Reply::of(code, "application/yaml", serde_saphyr::to_string(&value).map_err(Status::internal)?))
        }
    }
}
