//! A watcher of one collection: it keeps its place in the ring and is woken when there is more.
use super::{
    Shelf,
    ring::{Expired, Place, Seen},
};
use knarr_machinery::{GroupResource, Revision};
use std::sync::Arc;
use tokio::sync::watch;

/// Changes handed out at once: bounds how long a reader holds the shelf.
const BATCH: usize = 256;

/// Yields the changes of one collection in order, each exactly once.
pub struct Watch {
    shelf: Arc<Shelf>,
    resource: GroupResource,
    /// Nothing up to here is told, even where it was still to come when the watch began.
    after: Revision,
    place: Place,
    moved: watch::Receiver<Revision>,
}

impl Watch {
    pub(super) fn new(shelf: Arc<Shelf>, resource: GroupResource, after: Revision, place: Place, moved: watch::Receiver<Revision>) -> Self {
        Self { shelf, resource, after, place, moved }
    }

    /// The next changes, at least one. `Expired` once and for all when this watcher fell behind the ring: list again and watch anew.
    /// Cancel-safe: the place moves only when changes are returned.
    pub async fn next(&mut self) -> Result<Vec<Seen>, Expired> {
        loop {
            self.moved.mark_unchanged();
            let seen = self.ready()?;
            if !seen.is_empty() {
                return Ok(seen);
            }
            self.moved.changed().await.expect("the sender lives in the shelf, which this watch holds");
        }
    }

    /// Up to which revision the collection is known: what a bookmark may say once `next` has nothing more.
    pub fn known(&self) -> Revision {
        self.shelf.known(&self.resource)
    }

    /// What there is now, without waiting; empty when nothing changed.
    pub fn ready(&mut self) -> Result<Vec<Seen>, Expired> {
        loop {
            let mut seen = self.shelf.read_ring(&self.resource, self.place, BATCH)?;
            let count = seen.len();
            self.place += count as Place;
            seen.retain(|seen| seen.revision > self.after);
            if !seen.is_empty() || count == 0 {
                return Ok(seen);
            }
        }
    }
}
