//! One object on the shelf: its final bytes, its slim metadata, and the view that loops read, decoded once and only when asked for.
use crate::View;
use bytes::Bytes;
use knarr_machinery::{Key, Meta, Revision};
use serde::Deserialize;
use std::{
    any::Any,
    borrow::Borrow,
    cmp::Ordering,
    sync::{Arc, OnceLock},
};

/// `kubectl apply` writes the whole object into this annotation. No loop reads it, so it stays in the bytes only.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as it was at one revision. Never changes; a newer state is another entry.
#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    pub revision: Revision,
    /// Without managed fields and without the annotation of `kubectl apply`; both are in the bytes.
    pub meta: Arc<Meta>,
    /// The object's final JSON, `resourceVersion` included, as it goes to clients.
    pub bytes: Bytes,
    view: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// The part of any object that the shelf itself reads.
#[derive(Deserialize)]
struct Head {
    metadata: Meta,
}

impl Entry {
    /// Reads what the shelf needs out of an object's JSON.
    pub fn read(revision: Revision, bytes: Bytes) -> Result<Self, serde_json::Error> {
        let Head { metadata: mut meta } = serde_json::from_slice(&bytes)?;
        meta.annotations.remove(LAST_APPLIED);
        Ok(Self { key: meta.key(), revision, meta: Arc::new(meta), bytes, view: OnceLock::new() })
    }

    /// The object as loops see it. Decoded at the first call and shared from then on; an entry keeps one view, so a second type asked of
    /// the same entry is decoded at every call.
    pub fn view<V: View>(&self) -> Arc<V> {
        let kept = self.view.get_or_init(|| self.decode::<V>());
        match Arc::clone(kept).downcast::<V>() {
            Ok(view) => view,
            Err(_) => self.decode::<V>(),
        }
    }

    fn decode<V: View>(&self) -> Arc<V> {
        let mut view: V = serde_json::from_slice(&self.bytes).unwrap_or_else(|error| {
            tracing::error!(resource = V::PLURAL, key = %self.key, %error, "an object on the shelf does not fit its view");
            V::default()
        });
        view.share(&self.meta);
        Arc::new(view)
    }
}

/// An entry in a sorted set, found by its key, so that keys are kept once.
#[derive(Debug, Clone)]
pub(crate) struct Slot(pub(crate) Arc<Entry>);

impl Borrow<Key> for Slot {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}
impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}
impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}
impl Eq for Slot {}
