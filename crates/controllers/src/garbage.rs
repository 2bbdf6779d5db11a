//! `garbage-collector-controller`: what happens to objects when their owners go.
//!
//! An object is a key like any other. A pass over it does two things: as an owner that is being deleted in the foreground or with its dependents
//! orphaned, it sees to them; as a dependent, it looks which of its owners are still there.
mod graph;

use graph::{Dependent, Standing};
use jiff::Timestamp;
use knarr_cluster::{Entry, Propagation, Shelf};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key, Owner};
use knarr_reconcile::{Action, Change, Controller, Deletion, Object, Plan, Source};
use serde_json::json;
use std::{fmt, sync::Arc};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

pub struct GarbageCollector {
    pub kinds: Table,
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    resource: GroupResource,
    key: Key,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource, self.key)
    }
}

pub struct Look {
    of: Object,
    entry: Arc<Entry>,
    owners: Vec<(Owner, Standing)>,
    dependents: Vec<Dependent>,
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    type Key = Item;
    type Look = Look;

    /// Every kind but events, which own nothing and are owned by nothing.
    fn sources(&self) -> Vec<Source<Item>> {
        let collected = self.kinds.rows().iter().filter(|kind| !kind.ephemeral && kind.kind != "Event");
        let source = |resource: GroupResource| {
            let kinds = self.kinds.clone();
            Source::by(resource.clone(), move |shelf, change| concerned(&kinds, &resource, shelf, change))
        };
        collected.map(|kind| source(kind.resource())).collect()
    }

    fn look(&self, shelf: &Shelf, item: &Item) -> Option<Look> {
        let entry = shelf.get(&item.resource, &item.key)?;
        let owners = entry.meta.owner_references.iter();
        Some(Look {
            of: Object::entry(&item.resource, &entry),
            owners: owners.map(|owner| (owner.clone(), graph::standing(&self.kinds, shelf, &entry, owner))).collect(),
            dependents: graph::dependents(shelf, &entry),
            entry,
        })
    }

    fn reconcile(&self, look: &Look, _now: Timestamp) -> Plan {
        if look.entry.meta.is_deleting() {
            return release(look);
        }
        Plan::nothing().extend(judge(look))
    }
}

/// The keys that a change concerns: the object itself if it owns or is owned, those that it owned when it goes, and its owners that wait for it.
fn concerned(kinds: &Table, resource: &GroupResource, shelf: &Shelf, change: Change<'_>) -> Vec<Item> {
    let entry = change.object();
    let mut items = vec![];
    let is_owned = !entry.meta.owner_references.is_empty();
    if change.is_gone() || entry.meta.is_deleting() {
        items.extend(
            graph::dependents(shelf, entry).into_iter().map(|dependent| Item { resource: dependent.of.resource, key: dependent.of.key }),
        );
        items.push(Item { resource: resource.clone(), key: entry.key.clone() });
    } else if is_owned && change.was.is_none_or(|was| was.meta.owner_references != entry.meta.owner_references) {
        items.push(Item { resource: resource.clone(), key: entry.key.clone() });
    }
    let owners = change.states().flat_map(|state| state.meta.owner_references.iter().map(move |owner| (state, owner)));
    for (state, owner) in owners {
        if let Some((owner_resource, owner)) = graph::find(kinds, shelf, state, owner)
            && owner.meta.is_deleting()
        {
            items.push(Item { resource: owner_resource, key: owner.key.clone() });
        }
    }
    items
}

fn has(entry: &Entry, finalizer: &str) -> bool {
    entry.meta.finalizers.iter().any(|has| **has == *finalizer)
}

/// An owner on its way out sees to its dependents first, if that is how it was deleted.
fn release(look: &Look) -> Plan {
    let Look { of, entry, dependents, .. } = look;
    if has(entry, ORPHAN) {
        let orphaned = dependents
            .iter()
            .map(|dependent| crate::ownership::without_owners(dependent.of.clone(), &dependent.entry, |owner| owner.uid == of.uid));
        return Plan::nothing().extend(orphaned).then(without_finalizer(look, ORPHAN));
    }
    if has(entry, FOREGROUND) && !dependents.iter().any(|dependent| dependent.blocks) {
        return Plan::nothing().then(without_finalizer(look, FOREGROUND));
    }
    Plan::nothing()
}

fn without_finalizer(look: &Look, finalizer: &str) -> Action {
    let kept: Vec<_> = look.entry.meta.finalizers.iter().filter(|has| ***has != *finalizer).collect();
    Action::Patch { of: look.of.clone(), patch: json!({"metadata": {"finalizers": kept}}), revision: Some(look.entry.revision) }
}

/// A dependent lives as long as one of its owners does.
fn judge(look: &Look) -> Vec<Action> {
    let any = |standing: Standing| look.owners.iter().any(|(_, has)| *has == standing);
    if look.owners.is_empty() || !(any(Standing::Gone) || any(Standing::Waiting)) {
        return vec![];
    }
    if any(Standing::Solid) {
        let lost = |owner: &Owner| look.owners.iter().any(|(has, standing)| has.uid == owner.uid && *standing != Standing::Solid);
        return vec![crate::ownership::without_owners(look.of.clone(), &look.entry, lost)];
    }
    let in_foreground = any(Standing::Waiting) && !look.dependents.is_empty();
    let propagation = match () {
        () if has(&look.entry, ORPHAN) => Propagation::Orphan,
        () if has(&look.entry, FOREGROUND) || in_foreground => Propagation::Foreground,
        () => Propagation::Background,
    };
    let delete =
        Action::Delete { of: look.of.clone(), how: Deletion { propagation: Some(propagation), grace_period_seconds: None }, say: None };
    // Two that own each other would wait for each other for ever: this one stops holding its owner up.
    let is_circle = in_foreground && look.dependents.iter().any(|dependent| dependent.is_waiting);
    if is_circle { vec![unblock(look), delete] } else { vec![delete] }
}

fn unblock(look: &Look) -> Action {
    let owners: Vec<_> =
        look.entry.meta.owner_references.iter().cloned().map(|owner| Owner { block_owner_deletion: false, ..owner }).collect();
    crate::ownership::set_references(look.of.clone(), &look.entry, crate::ownership::references(&owners))
}

#[cfg(test)]
mod tests;
