//! Who owns whom, read off the shelf: owners by what a reference names, dependents by the index of owners' uids.
use super::{FOREGROUND, has};
use knarr_cluster::{Entry, Shelf};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key, Owner};
use knarr_reconcile::Object;
use std::sync::Arc;

/// What became of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is there, or its kind is unknown to us, which proves nothing.
    Solid,
    /// It is on its way out and waits for its dependents.
    Waiting,
    /// It is not there, or another object has its name.
    Gone,
}

pub(super) struct Dependent {
    pub(super) of: Object,
    pub(super) entry: Arc<Entry>,
    /// The owner asked to wait for this one.
    pub(super) blocks: bool,
    /// It waits for dependents of its own.
    pub(super) is_waiting: bool,
}

pub(super) fn dependents(shelf: &Shelf, owner: &Entry) -> Vec<Dependent> {
    let dependent = |(resource, entry): (GroupResource, Arc<Entry>)| Dependent {
        of: Object::entry(&resource, &entry),
        blocks: entry.meta.owner_references.iter().any(|reference| reference.uid == owner.meta.uid && reference.block_owner_deletion),
        is_waiting: is_waiting(&entry),
        entry,
    };
    shelf.dependents(&owner.meta.uid).into_iter().map(dependent).collect()
}

/// The object that a reference means, if it is there. The namespace is the dependent's, or none for kinds outside namespaces.
pub(super) fn find(kinds: &Table, shelf: &Shelf, dependent: &Entry, owner: &Owner) -> Option<(GroupResource, Arc<Entry>)> {
    let kind = kinds.by_kind(&owner.api_version, &owner.kind)?;
    let namespace = if kind.namespaced { &*dependent.key.namespace } else { "" };
    let entry = shelf.get(&kind.resource(), &Key::new(namespace, &owner.name)).filter(|entry| entry.meta.uid == owner.uid)?;
    Some((kind.resource(), entry))
}

pub(super) fn standing(kinds: &Table, shelf: &Shelf, dependent: &Entry, owner: &Owner) -> Standing {
    let Some(kind) = kinds.by_kind(&owner.api_version, &owner.kind) else { return Standing::Solid };
    // An object outside namespaces cannot be owned by one inside: such a reference leads nowhere and proves nothing.
    if kind.namespaced && dependent.key.namespace.is_empty() {
        return Standing::Solid;
    }
    match find(kinds, shelf, dependent, owner) {
        None => Standing::Gone,
        Some((_, owner)) if is_waiting(&owner) => Standing::Waiting,
        Some(_) => Standing::Solid,
    }
}

fn is_waiting(entry: &Entry) -> bool {
    entry.meta.is_deleting() && has(entry, FOREGROUND)
}
