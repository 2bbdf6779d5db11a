//! The front door: the one way to change the cluster, for HTTP handlers and in-process loops alike.
mod attempt;
mod bind;
mod create;
mod delete;
mod draft;
mod finalize;
mod review;
mod scale;
mod update;

pub use scale::of as scale_of;

use crate::state::State;
use bytes::Bytes;
use jiff::Timestamp;
use knarr_access::{Asked, authorize};
use knarr_cluster::{Done, Entry, FrontDoor, Identity, Options, Target, Verb, Write};
use knarr_kinds::{Kind, Sub};
use knarr_machinery::{Details, GroupResource, Key, Pending, Reason, Status};
use std::sync::Arc;

/// How often a write that names no version is tried again when others are faster. More means that somebody writes in a loop.
const ATTEMPTS: usize = 32;

#[derive(Clone)]
pub struct Door(pub Arc<State>);

/// One write, once it is known what it is about.
pub struct Ask<'a> {
    pub who: &'a Identity,
    pub kind: Arc<Kind>,
    /// As clients name the collection.
    pub resource: GroupResource,
    /// Where store and shelf keep it.
    pub storage: GroupResource,
    pub key: Key,
    pub sub: Option<Sub>,
    pub body: Bytes,
    pub options: Options,
    pub now: Timestamp,
}

impl FrontDoor for Door {
    fn submit<'a>(&'a self, who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        Box::pin(async move {
            permit(who, write.verb, &write.target)?;
            let verb = write.verb;
            let ask = self.find(who, write)?;
            match (verb, ask.sub) {
                (Verb::Create, None) if ask.kind.ephemeral => self.review(&ask),
                (Verb::Create, None) => self.create(ask).await,
                (Verb::Create, Some(Sub::Binding)) => self.bind(&ask).await,
                (Verb::Create, Some(Sub::Eviction)) => self.evict(ask).await,
                (Verb::Update, None | Some(Sub::Status)) => self.update(&ask).await,
                (Verb::Patch(how), None | Some(Sub::Status)) => self.patch(&ask, how).await,
                (Verb::Update, Some(Sub::Scale)) => self.scale(&ask, None).await,
                (Verb::Patch(how), Some(Sub::Scale)) => self.scale(&ask, Some(how)).await,
                (Verb::Update, Some(Sub::Finalize)) => self.finalize(&ask).await,
                (Verb::Delete, None) => self.delete(&ask).await,
                _ => Err(method_not_allowed()),
            }
        })
    }
}

/// The verb of an RBAC rule.
fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch(_) => "patch",
        Verb::Delete => "delete",
    }
}

fn permit(who: &Identity, verb: Verb, target: &Target) -> Result<(), Status> {
    // A namespace is asked about as if it lay in itself.
    let own_namespace = &*target.resource.resource == "namespaces" && target.resource.group.is_empty();
    let namespace = if own_namespace { &target.key.name } else { &target.key.namespace };
    let asked = Asked::Resource {
        verb: word(verb),
        resource: &target.resource,
        subresource: target.subresource.as_deref(),
        namespace,
        name: if verb == Verb::Create && target.subresource.is_none() { "" } else { &target.key.name },
    };
    authorize(who, &asked)
}

impl Door {
    /// The row that a write is about, if it has what is asked for.
    fn find<'a>(&self, who: &'a Identity, write: Write) -> Result<Ask<'a>, Status> {
        let Target { resource, version, key, subresource } = write.target;
        let kinds = &self.0.kinds;
        let row = match &version {
            Some(version) => kinds.by_path(&resource.group, version, &resource.resource),
            None => kinds.by_resource(&resource),
        };
        let kind = Arc::clone(row.ok_or_else(no_such_resource)?);
        let sub = match &subresource {
            None => None,
            Some(path) => Some(kind.subresources.iter().copied().find(|sub| sub.path() == path.as_str()).ok_or_else(no_such_resource)?),
        };
        let key = if kind.namespaced { key } else { Key::cluster(&key.name) };
        let storage = kind.storage();
        Ok(Ask { who, kind, resource, storage, key, sub, body: write.body, options: write.options, now: self.0.clock.now() })
    }

    /// The object as this process knows it. A write from a stale state is caught by the store and tried again.
    fn current(&self, ask: &Ask<'_>) -> Result<Arc<Entry>, Status> {
        self.0.shelf.get(&ask.storage, &ask.key).ok_or_else(|| Status::not_found(&ask.resource, &ask.key.name))
    }
}

pub fn no_such_resource() -> Status {
    with_empty_details(Status::new(404, Reason::NotFound, "the server could not find the requested resource"))
}

pub fn method_not_allowed() -> Status {
    with_empty_details(Status::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"))
}

fn with_empty_details(mut status: Status) -> Status {
    status.details = Some(Box::new(Details::default()));
    status
}

#[cfg(test)]
pub(crate) mod tests;
