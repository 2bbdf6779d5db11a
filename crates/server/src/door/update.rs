//! Update and patch: an object takes another's place, tried again while others are faster.
use super::{
    ATTEMPTS, Ask, Door,
    attempt::{Failed, Wanted},
    create::read_patched,
};
use crate::object;
use knarr_cluster::{Done, Entry, PatchType};
use knarr_kinds::Sub;
use knarr_machinery::{Reason, Status, patch};
use serde_json::Value;
use std::sync::Arc;

impl Door {
    pub(super) async fn update(&self, ask: &Ask<'_>) -> Result<Done, Status> {
        let wanted = self.read(ask)?;
        if ask.kind.create_on_update && ask.sub.is_none() && self.0.shelf.get(&ask.storage, &ask.key).is_none() {
            return self.create_named(ask, wanted).await;
        }
        self.again_while_lost(ask, |_, old| {
            check_uid(ask, &wanted.object, old)?;
            Ok(Wanted { object: wanted.object.clone(), warnings: wanted.warnings.clone() })
        })
        .await
    }

    pub(super) async fn patch(&self, ask: &Ask<'_>, how: PatchType) -> Result<Done, Status> {
        let (body, _) = patch::read(&ask.body)?;
        let odd: Vec<_> = match how {
            PatchType::Json => patch::unknown_members(&body),
            _ => vec![],
        };
        self.again_while_lost(ask, |_, old| {
            let patched = self.patched(ask, how, ask.kind.to_served(old.clone()), body.clone())?;
            let mut wanted = read_patched(self, ask, &patched, ask.options.field_validation)?;
            wanted.warnings.extend(odd.iter().cloned());
            Ok(wanted)
        })
        .await
    }

    /// Tries until nobody else wrote in between. `change` makes the wanted object of what there is.
    pub(super) async fn again_while_lost(
        &self,
        ask: &Ask<'_>,
        change: impl Fn(&Arc<Entry>, &Value) -> Result<Wanted, Status>,
    ) -> Result<Done, Status> {
        for _ in 0..ATTEMPTS {
            let current = self.current(ask)?;
            let old: Value = serde_json::from_slice(&current.bytes).map_err(Status::internal)?;
            let mut wanted = change(&current, &old)?;
            // Who names a version wants that one and no other: at the next try it is refused here. A patch that names none carries the one
            // that it was made of.
            object::check_version(&wanted.object, &old, &ask.resource, &ask.key.name)?;
            keep_apart(ask, &mut wanted.object, &old);
            match self.attempt_update(ask, &current, &old, wanted).await {
                Ok(done) => return Ok(done),
                Err(Failed::Refused(status)) => return Err(status),
                Err(Failed::Lost) => tracing::debug!(resource = %ask.resource, key = %ask.key, "lost a race, trying again"),
            }
        }
        Err(Status::stale(&ask.resource, &ask.key.name))
    }

    /// What a patch makes of an object, both in the served form.
    pub(super) fn patched(&self, ask: &Ask<'_>, how: PatchType, current: Value, body: Value) -> Result<Value, Status> {
        match how {
            PatchType::Json => patch::json(current, body),
            PatchType::Merge => patch::merge(current, body),
            PatchType::Strategic => match self.0.schema.kind(&ask.kind.api_version(), &ask.kind.kind) {
                Some(object) => patch::strategic(current, body, object),
                None => Err(unsupported_patch("application/json-patch+json, application/merge-patch+json")),
            },
            PatchType::Apply => Err(unsupported_patch(PATCHES)),
        }
    }
}

pub const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

pub(super) fn unsupported_patch(accepted: &str) -> Status {
    let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::new(415, Reason::UnsupportedMediaType, message)
}

/// The main resource does not write the status, nor the other way round; and only `finalize` writes what holds a namespace.
fn keep_apart(ask: &Ask<'_>, object: &mut Value, old: &Value) {
    match ask.sub {
        Some(Sub::Status) => *object = object::only_status(std::mem::take(object), old),
        _ => {
            if ask.kind.has(Sub::Status) {
                object::keep_status(object, Some(old));
            }
            if ask.kind.has(Sub::Finalize) {
                object["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
            }
        }
    }
}

/// An update means one object, not whoever has its name by now.
fn check_uid(ask: &Ask<'_>, object: &Value, old: &Value) -> Result<(), Status> {
    let (said, is) = (object["metadata"]["uid"].as_str().unwrap_or_default(), old["metadata"]["uid"].as_str().unwrap_or_default());
    if said.is_empty() || said == is {
        return Ok(());
    }
    let key = ask.key.path(&ask.storage);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {said}, UID in object meta: {is}"
    );
    Err(Status::conflict(&ask.resource, &ask.key.name, &why))
}
