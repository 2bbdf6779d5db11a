//! From the object that a client wants to the bytes that may be stored: default, admit, prepare, allocate, check, encode. One place for all
//! kinds and all writes.
use super::{Ask, Door};
use crate::{admission, allocate, generation, splice};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use knarr_cluster::{Entry, views};
use knarr_kinds::{Draft, Sub, object_meta};
use knarr_machinery::{FieldError, Status};
use serde::Deserialize;
use serde_json::Value;

/// An object that has passed all checks, encoded, with a hole for its version.
pub struct Ready {
    pub bytes: Vec<u8>,
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Head {
    metadata: ObjectMeta,
}

impl Door {
    /// `wanted` is in the stored form, its metadata stamped. Services come with `self.0.services` locked by the caller.
    pub(super) fn ready(&self, ask: &Ask<'_>, wanted: Value, current: Option<&Entry>) -> Result<Ready, Status> {
        let old = current.map(|entry| &*entry.bytes);
        let mut draft = ask.kind.rules.draft(wanted, old)?;
        draft.default();
        if current.is_none() {
            admission::complete(&mut *draft);
        }
        if ask.sub.is_none() {
            draft.prepare();
        }
        let mut wrong = self.allocate(ask, &mut *draft);
        let bytes = draft.bytes();
        wrong.extend(check_metadata(ask, &bytes, old)?);
        wrong.extend(if ask.sub == Some(Sub::Status) { draft.check_status() } else { draft.check() });
        if !wrong.is_empty() {
            return Err(Status::invalid(&ask.kind.group, &ask.kind.kind, &ask.key.name, &wrong));
        }
        let moves = ask.kind.has_generation && ask.sub != Some(Sub::Status);
        let bytes = match old.filter(|_| moves) {
            Some(old) => generation::moved(bytes, old).map_err(Status::internal)?,
            None => bytes,
        };
        Ok(Ready { bytes: splice::with_hole(bytes), warnings: draft.warnings() })
    }

    /// Addresses and ports, where the object is a Service.
    fn allocate(&self, ask: &Ask<'_>, draft: &mut dyn Draft) -> Vec<FieldError> {
        let Some(service) = draft.typed().downcast_mut::<Service>().filter(|_| ask.sub.is_none()) else { return vec![] };
        let mut taken = allocate::Taken::default();
        for entry in self.0.shelf.list(&ask.storage, None).0.iter().filter(|entry| entry.key != ask.key) {
            if let Ok(Service { spec: Some(spec), .. }) = serde_json::from_slice(&entry.bytes) {
                taken.add(&spec);
            }
        }
        allocate::allocate(service, &self.0.ranges, &taken, &mut |count| rand::random_range(0..count))
    }
}

fn check_metadata(ask: &Ask<'_>, new: &[u8], old: Option<&[u8]>) -> Result<Vec<FieldError>, Status> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Head>(bytes).map(|head| head.metadata).map_err(Status::internal);
    let metadata = read(new)?;
    Ok(match old {
        Some(old) => object_meta::check_update(&metadata, &read(old)?),
        None => {
            let scope = if ask.kind.namespaced { object_meta::Scope::Namespaced } else { object_meta::Scope::Cluster };
            object_meta::check_create(&metadata, scope, ask.kind.naming)
        }
    })
}

/// An object as it may be stored, without rules: what the server itself changes in one that has passed them.
pub(super) fn encode(ask: &Ask<'_>, object: Value) -> Result<Vec<u8>, Status> {
    Ok(splice::with_hole(ask.kind.rules.draft(object, None)?.bytes()))
}

/// Is what shall be stored what is stored?
pub(super) fn changes_nothing(new: &[u8], current: &Entry) -> bool {
    splice::with_revision(new, current.revision) == current.bytes
}

/// Whether a write has to wait for its turn at the ranges.
pub(super) fn allocates(ask: &Ask<'_>) -> bool {
    ask.storage == <views::Service as knarr_cluster::View>::resource() && ask.sub.is_none()
}
