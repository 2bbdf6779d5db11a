//! What to do next, as plain data that a test can read.
use jiff::Timestamp;
use knarr_cluster::{Entry, ObjectRef, Propagation, Type, View};
use knarr_machinery::{GroupResource, Key, Revision};
use serde_json::Value;
use std::time::Duration;

/// What a controller decided: actions in order, and when to look again even if nothing changes.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Taken in order, and the rest is dropped when one fails; neighbouring creates and deletes go out together.
    pub actions: Vec<Action>,
    pub again_in: Option<Duration>,
}

/// The very object that was looked at: what stands under its name by then is changed only if it is the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    pub resource: GroupResource,
    pub key: Key,
    pub uid: Box<str>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Makes an object in the namespace that its metadata names.
    Create {
        resource: GroupResource,
        object: Value,
        say: Option<Said>,
    },
    /// A merge patch. A `revision` is for patches that replace a whole list: it fails if anybody wrote in between.
    Patch {
        of: Object,
        patch: Value,
        revision: Option<Revision>,
    },
    /// A strategic merge patch of the status: of conditions, only those named change.
    Condition {
        of: Object,
        patch: Value,
    },
    /// A merge patch of the status.
    Status {
        of: Object,
        patch: Value,
    },
    /// Puts a namespace back without a finalizer of its spec.
    Finalize {
        of: Object,
        object: Value,
    },
    Delete {
        of: Object,
        how: Deletion,
        say: Option<Said>,
    },
    Event {
        about: ObjectRef,
        kind: Type,
        reason: &'static str,
        message: String,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deletion {
    pub propagation: Option<Propagation>,
    /// Seconds; `None` is what the object itself says.
    pub grace_period_seconds: Option<i64>,
}

/// The events that tell how a create or a delete went.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub about: ObjectRef,
    /// A reason, and a text that the object's name is put after.
    pub done: (&'static str, &'static str),
    /// A reason, and a text that the refusal is put after.
    pub failed: (&'static str, &'static str),
}

impl Object {
    pub fn of<V: View>(view: &V) -> Self {
        Self { resource: V::resource(), key: view.meta().key(), uid: view.meta().uid.clone() }
    }

    pub fn entry(resource: &GroupResource, entry: &Entry) -> Self {
        Self { resource: resource.clone(), key: entry.key.clone(), uid: entry.meta.uid.clone() }
    }
}

impl Action {
    /// Deletes an object as a client would that says nothing more.
    pub fn delete(of: Object) -> Self {
        Self::Delete { of, how: Deletion::default(), say: None }
    }

    /// One of many alike: these go out together.
    pub(crate) fn is_bulk(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Delete { .. })
    }
}

impl Plan {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn then(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    pub fn extend(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }

    /// Asks for another look, unless an earlier one is already asked for.
    pub fn again_in(mut self, wait: Duration) -> Self {
        self.again_in = Some(self.again_in.map_or(wait, |earlier| earlier.min(wait)));
        self
    }

    /// The same for a moment; one that is past means at once.
    pub fn again_at(self, moment: Timestamp, now: Timestamp) -> Self {
        self.again_in(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
    }
}
