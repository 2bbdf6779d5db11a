//! The one way to change the cluster: HTTP handlers, control loops and remote agents all come through here.
use bytes::Bytes;
use knarr_machinery::{GroupResource, Key, Pending, Revision, Status};
use std::collections::BTreeMap;

/// Who asks: a user, a service account, a node or one of our own controllers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    pub user: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// A control loop's own identity: the service account in `kube-system` that Kubernetes gives the same controller.
    pub fn controller(name: &str) -> Self {
        Self {
            user: format!("system:serviceaccount:kube-system:{name}"),
            groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"].map(Into::into).into(),
            ..Self::default()
        }
    }

    /// The agent of one node.
    pub fn node(name: &str) -> Self {
        Self {
            user: format!("system:node:{name}"),
            groups: ["system:nodes", "system:authenticated"].map(Into::into).into(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    /// Replaces the whole object. A `resourceVersion` in the body is checked.
    Update,
    Patch(PatchType),
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub resource: GroupResource,
    /// The version that the body is in and the answer shall be in; `None` is the stored one.
    pub version: Option<String>,
    /// An empty name: a create, which takes it from the body or makes it from `generateName`.
    pub key: Key,
    /// `status`, `scale`, `binding`, ...
    pub subresource: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What must be true of the object for a delete to happen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<Revision>,
}

/// The query of a write, or a delete's options.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub dry_run: bool,
    pub field_manager: Option<String>,
    pub field_validation: FieldValidation,
    /// Apply only: take over fields that others own.
    pub force: bool,
    pub propagation: Option<Propagation>,
    /// Delete only: seconds; `None` is what the object itself says.
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Preconditions,
}

/// One change that somebody wants. `body` is JSON; empty for a delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub verb: Verb,
    pub target: Target,
    pub body: Bytes,
    pub options: Options,
}

/// What was stored (of a delete: the last state, or a Status). Its revision is already on the caller's shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub revision: Revision,
    /// JSON in the version that was asked for.
    pub object: Bytes,
    /// A create, or an update that made the object.
    pub created: bool,
    /// A delete that only began: finalizers or a grace period hold the object.
    pub pending: bool,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// Authorises, admits, validates, audits, stores. The answer follows the disk.
pub trait FrontDoor: Send + Sync {
    fn submit<'a>(&'a self, who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>>;
}
