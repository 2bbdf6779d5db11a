//! Owner references: whose an object is, taking it over, letting it go.
use knarr_cluster::{Entry, ObjectRef, View};
use knarr_machinery::{Meta, Owner};
use knarr_reconcile::{Action, Object};
use serde_json::{Value, json};

/// A kind that controls others, as it stands in references and events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Controlling {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
}

impl Controlling {
    /// The reference that makes the owner the controlling one.
    pub(crate) fn reference(self, owner: &Meta) -> Value {
        let Self { api_version, kind } = self;
        json!({"apiVersion": api_version, "kind": kind, "name": owner.name, "uid": owner.uid, "controller": true, "blockOwnerDeletion": true})
    }

    /// Whom an event is about.
    pub(crate) fn object_ref(self, owner: &Meta) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version.into(),
            kind: self.kind.into(),
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            ..ObjectRef::default()
        }
    }

    /// Takes over an object that nobody controls.
    pub(crate) fn adopt<V: View>(self, owner: &Meta, orphan: &Entry) -> Action {
        let mut references = references(&orphan.meta.owner_references);
        references.push(self.reference(owner));
        set_references(Object::entry(&V::resource(), orphan), orphan, references)
    }
}

/// Lets an object go that no longer matches.
pub(crate) fn release<V: View>(owner: &Meta, entry: &Entry) -> Action {
    without_owners(Object::entry(&V::resource(), entry), entry, |reference| reference.uid == owner.uid)
}

/// Takes some of an object's owners away.
pub(crate) fn without_owners(of: Object, entry: &Entry, is_unwanted: impl Fn(&Owner) -> bool) -> Action {
    let kept: Vec<_> = entry.meta.owner_references.iter().filter(|reference| !is_unwanted(reference)).cloned().collect();
    set_references(of, entry, references(&kept))
}

/// Replaces the whole list, and therefore only if nobody else wrote the object.
pub(crate) fn set_references(of: Object, entry: &Entry, references: Vec<Value>) -> Action {
    Action::Patch { of, patch: json!({"metadata": {"ownerReferences": references}}), revision: Some(entry.revision) }
}

pub(crate) fn references(owners: &[Owner]) -> Vec<Value> {
    let reference = |owner: &Owner| {
        let mut reference = json!({"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid});
        for (field, is_set) in [("controller", owner.controller), ("blockOwnerDeletion", owner.block_owner_deletion)] {
            if is_set {
                reference[field] = json!(true);
            }
        }
        reference
    };
    owners.iter().map(reference).collect()
}
