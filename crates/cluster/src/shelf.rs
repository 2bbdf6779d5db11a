//! The shelf: every object this process knows, as it was last seen, and the last changes of each collection.
//!
//! In the server it is the API's watch cache, fed by the store; in an agent it is fed by watches. Loops only read it. One lock guards
//! everything and is held for a few lines, never across an await: readers take `Arc`s and leave. A list at revision R and a watch after R see
//! every change exactly once, because both are taken from the same state. What a stored pod costs: its bytes, some 600 bytes of metadata, and under 1 KiB of
//! view.
mod collection;
mod ring;
#[cfg(test)]
mod tests;
mod watch;

pub use ring::{Expired, Seen};
pub use watch::Watch;

use crate::{Entry, View, views};
use bytes::Bytes;
use collection::Collection;
use knarr_machinery::{GroupResource, Key, Revision};
use ring::Place;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::time::Instant;

/// Who fills a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feeds {
    /// One feed of all collections in order of revisions: what is known of one is known of all.
    One,
    /// A feed for each collection: each is known up to a revision of its own.
    Many,
}

pub struct Shelf {
    feeds: Feeds,
    state: RwLock<HashMap<GroupResource, Collection>>,
    /// The newest revision of any collection.
    newest: tokio::sync::watch::Sender<Revision>,
}

/// One change on its way from a feed.
#[derive(Debug, Clone)]
pub struct Step {
    pub resource: GroupResource,
    pub revision: Revision,
    pub change: Change,
}

#[derive(Debug, Clone)]
pub enum Change {
    /// The object's final JSON. The bytes should own just their memory: a slice of a large buffer keeps all of it.
    Put(Bytes),
    Delete(Key),
}

/// A step that has been read, outside the lock.
enum Ready {
    Put(Arc<Entry>),
    Delete(Key),
    /// Bytes that are no object. The revision passes, so that nobody waits for it.
    Nothing,
}

/// Sizes, for metrics and benches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub objects: usize,
    pub object_bytes: usize,
    pub ring_bytes: usize,
}

impl Shelf {
    /// A shelf with one feed that brings all collections in order, as the store's log does.
    pub fn new() -> Arc<Self> {
        Self::fed_by(Feeds::One)
    }

    /// A shelf whose collections are fed each by a watch of its own.
    pub fn remote() -> Arc<Self> {
        Self::fed_by(Feeds::Many)
    }

    fn fed_by(feeds: Feeds) -> Arc<Self> {
        Arc::new(Self { feeds, state: RwLock::default(), newest: tokio::sync::watch::Sender::new(Revision(0)) })
    }

    /// The newest revision on this shelf.
    pub fn revision(&self) -> Revision {
        *self.newest.borrow()
    }

    pub fn get(&self, resource: &GroupResource, key: &Key) -> Option<Arc<Entry>> {
        self.read().get(resource)?.get(key).cloned()
    }

    /// The objects of a collection, all or of one namespace, in bytewise order of keys, and the revision that this list shows.
    pub fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> (Vec<Arc<Entry>>, Revision) {
        let state = self.read();
        let entries = state.get(resource).map(|collection| collection.list(namespace)).unwrap_or_default();
        (entries, self.known_in(&state, resource))
    }

    pub fn view<V: View>(&self, key: &Key) -> Option<Arc<V>> {
        self.get(&V::resource(), key).map(|entry| entry.view())
    }

    pub fn views<V: View>(&self, namespace: Option<&str>) -> Vec<Arc<V>> {
        self.list(&V::resource(), namespace).0.iter().map(|entry| entry.view()).collect()
    }

    /// The objects whose controlling owner has this uid.
    pub fn owned_by<V: View>(&self, controller_uid: &str) -> Vec<Arc<V>> {
        let entries = self.read().get(&V::resource()).map(|collection| collection.owned_by(controller_uid)).unwrap_or_default();
        entries.iter().map(|entry| entry.view()).collect()
    }

    /// The objects of any collection that name this uid among their owners, for the garbage collector.
    pub fn dependents(&self, owner_uid: &str) -> Vec<(GroupResource, Arc<Entry>)> {
        let state = self.read();
        let of = |(resource, collection): (&GroupResource, &Collection)| -> Vec<_> {
            collection.dependents(owner_uid).into_iter().map(|entry| (resource.clone(), entry)).collect()
        };
        state.iter().flat_map(of).collect()
    }

    /// The pods bound to a node.
    pub fn pods_on(&self, node: &str) -> Vec<Arc<views::Pod>> {
        let entries = self.read().get(&views::Pod::resource()).map(|pods| pods.on_node(node)).unwrap_or_default();
        entries.iter().map(|entry| entry.view()).collect()
    }

    /// Watches what changes after a revision, which is usually that of a list.
    pub fn watch(self: &Arc<Self>, resource: &GroupResource, after: Revision) -> Result<Watch, Expired> {
        let mut state = self.write();
        let collection = state.entry(resource.clone()).or_insert_with(|| Collection::new(resource));
        let place = collection.ring.seek(after)?;
        Ok(Watch::new(Arc::clone(self), resource.clone(), after, place, collection.moved.subscribe()))
    }

    /// Returns once everything up to this revision of the collection is on this shelf. Waits for ever for a revision that never comes: the
    /// caller bounds it.
    pub async fn reached(&self, resource: &GroupResource, revision: Revision) {
        let mut moved = match self.feeds {
            Feeds::One => self.newest.subscribe(),
            Feeds::Many => {
                let mut state = self.write();
                state.entry(resource.clone()).or_insert_with(|| Collection::new(resource)).moved.subscribe()
            }
        };
        moved.wait_for(|known| *known >= revision).await.expect("the sender lives in this shelf");
    }

    /// Up to which revision a collection is known.
    pub fn known(&self, resource: &GroupResource) -> Revision {
        self.known_in(&self.read(), resource)
    }

    /// For feeds: an object came or changed.
    pub fn put(&self, resource: &GroupResource, revision: Revision, bytes: Bytes) {
        self.apply(vec![Step { resource: resource.clone(), revision, change: Change::Put(bytes) }]);
    }

    /// For feeds: an object went.
    pub fn delete(&self, resource: &GroupResource, revision: Revision, key: &Key) {
        self.apply(vec![Step { resource: resource.clone(), revision, change: Change::Delete(key.clone()) }]);
    }

    /// For feeds: several changes in order of revisions, in one go. What is older than what stands here is passed over.
    pub fn apply(&self, steps: Vec<Step>) {
        let Some(newest) = steps.iter().map(|step| step.revision).max() else { return };
        let ready: Vec<_> = steps.into_iter().map(|step| (step.resource, step.revision, read(step.revision, step.change))).collect();
        let at = Instant::now();
        let mut state = self.write();
        for (resource, revision, change) in ready {
            let collection = state.entry(resource).or_insert_with_key(Collection::new);
            let stamp = collection.stamp(revision);
            match change {
                Ready::Put(entry) => collection.put(stamp, entry, at),
                Ready::Delete(key) => collection.delete(stamp, &key, at),
                Ready::Nothing => {}
            }
            collection.advance(revision);
        }
        self.move_to(newest);
    }

    /// For feeds: what a new list shows takes the place of what is here. Tells watchers the difference, so that they also see what went. A
    /// list is believed even where it is older than what is here: the server may have been put back to an earlier state.
    pub fn replace(&self, resource: &GroupResource, revision: Revision, objects: Vec<(Revision, Bytes)>) {
        let entries = read_all(objects);
        let present: BTreeSet<_> = entries.iter().map(|entry| &entry.key).collect();
        let at = Instant::now();
        let mut state = self.write();
        let collection = state.entry(resource.clone()).or_insert_with(|| Collection::new(resource));
        let stamp = collection.stamp(revision);
        for key in collection.missing_from(&present) {
            collection.delete(stamp, &key, at);
        }
        for entry in entries {
            collection.replace(stamp, entry, at);
        }
        collection.advance(revision);
        self.move_to(revision);
    }

    /// For feeds of single objects: what a list of one object shows takes the place of what is here of it.
    pub fn replace_one(&self, resource: &GroupResource, revision: Revision, key: &Key, object: Option<(Revision, Bytes)>) {
        let entry = object.and_then(|(revision, bytes)| read_entry(revision, bytes));
        let at = Instant::now();
        let mut state = self.write();
        let collection = state.entry(resource.clone()).or_insert_with(|| Collection::new(resource));
        let stamp = collection.stamp(revision);
        match entry {
            Some(entry) => collection.replace(stamp, entry, at),
            None => collection.delete(stamp, key, at),
        }
        collection.advance(revision);
        self.move_to(revision);
    }

    /// For the server's start: fills a collection without telling anybody. `changed` is the revision of the collection's last change,
    /// deletions included: a watch from there on goes on after a restart, an older one is `Expired`.
    pub fn load(&self, resource: &GroupResource, revision: Revision, changed: Revision, objects: Vec<(Revision, Bytes)>) {
        let entries = read_all(objects);
        let mut state = self.write();
        let collection = state.entry(resource.clone()).or_insert_with(|| Collection::new(resource));
        for entry in &entries {
            collection.load(entry);
        }
        collection.ring.clear(changed);
        collection.advance(revision);
        self.move_to(revision);
    }

    /// For feeds: nothing changed up to this revision, as a bookmark says.
    pub fn advance(&self, resource: &GroupResource, revision: Revision) {
        self.write().entry(resource.clone()).or_insert_with(|| Collection::new(resource)).advance(revision);
        self.move_to(revision);
    }

    /// How much a collection holds.
    pub fn size(&self, resource: &GroupResource) -> Size {
        let state = self.read();
        let Some(collection) = state.get(resource) else { return Size::default() };
        Size { objects: collection.len(), object_bytes: collection.object_bytes(), ring_bytes: collection.ring.bytes() }
    }

    /// The collections that hold or held something.
    pub fn resources(&self) -> Vec<GroupResource> {
        self.read().keys().cloned().collect()
    }

    fn read_ring(&self, resource: &GroupResource, from: Place, limit: usize) -> Result<Vec<Seen>, Expired> {
        self.read().get(resource).map_or(Ok(vec![]), |collection| collection.ring.read(from, limit))
    }

    fn known_in(&self, state: &HashMap<GroupResource, Collection>, resource: &GroupResource) -> Revision {
        match self.feeds {
            Feeds::One => *self.newest.borrow(),
            Feeds::Many => state.get(resource).map(|collection| *collection.moved.borrow()).unwrap_or_default(),
        }
    }

    /// Called with the lock held, so that who reads the state and the newest revision under the lock sees them fit.
    fn move_to(&self, revision: Revision) {
        self.newest.send_modify(|newest| *newest = revision.max(*newest));
    }

    // A panic while the lock is held leaves at worst one change half indexed; the shelf goes on rather than taking every loop down.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<GroupResource, Collection>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<GroupResource, Collection>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(revision: Revision, change: Change) -> Ready {
    match change {
        Change::Put(bytes) => read_entry(revision, bytes).map_or(Ready::Nothing, Ready::Put),
        Change::Delete(key) => Ready::Delete(key),
    }
}

fn read_all(objects: Vec<(Revision, Bytes)>) -> Vec<Arc<Entry>> {
    objects.into_iter().filter_map(|(revision, bytes)| read_entry(revision, bytes)).collect()
}

fn read_entry(revision: Revision, bytes: Bytes) -> Option<Arc<Entry>> {
    match Entry::read(revision, bytes) {
        Ok(entry) => Some(Arc::new(entry)),
        Err(error) => {
            tracing::error!(%revision, %error, "a stored object cannot be read");
            None
        }
    }
}
