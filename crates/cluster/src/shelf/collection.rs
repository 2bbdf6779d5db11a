//! All objects of one collection, sorted, with the indexes that loops ask for and the ring of their last changes.
use super::ring::{Ring, Seen};
use crate::{Entry, View, entry::Slot, views};
use knarr_machinery::{GroupResource, Key, Revision};
use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};
use tokio::{sync::watch, time::Instant};

/// Enough for a few thousand changes of pods: a client that lists ten thousand of them over a slow line still finds its place.
const RING_BYTES: usize = 8 << 20;
/// Leases and events change all the time, and who falls behind loses nothing by listing again.
const BUSY_RING_BYTES: usize = 512 << 10;
const BUSY: &[(&str, &str)] = &[("coordination.k8s.io", "leases"), ("", "events"), ("events.k8s.io", "events")];

pub(super) struct Collection {
    entries: BTreeSet<Slot>,
    by_owner: Index,
    by_node: Index,
    is_pods: bool,
    pub(super) ring: Ring,
    /// Up to where this collection is known. Watchers wait on it.
    pub(super) moved: watch::Sender<Revision>,
}

impl Collection {
    pub(super) fn new(resource: &GroupResource) -> Self {
        let is_busy = BUSY.contains(&(&*resource.group, &*resource.resource));
        Self {
            entries: BTreeSet::new(),
            by_owner: Index::default(),
            by_node: Index::default(),
            is_pods: *resource == views::Pod::resource(),
            ring: Ring::new(if is_busy { BUSY_RING_BYTES } else { RING_BYTES }),
            moved: watch::Sender::new(Revision(0)),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.entries.get(key).map(|slot| &slot.0)
    }

    /// In the order of keys.
    pub(super) fn list(&self, namespace: Option<&str>) -> Vec<Arc<Entry>> {
        let Some(namespace) = namespace else { return self.entries.iter().map(|slot| Arc::clone(&slot.0)).collect() };
        let start = Key::new(namespace, "");
        let range = self.entries.range::<Key, _>((Bound::Included(&start), Bound::Unbounded));
        range.take_while(|slot| *slot.0.key.namespace == *namespace).map(|slot| Arc::clone(&slot.0)).collect()
    }

    /// Those whose controlling owner has this uid.
    pub(super) fn owned_by(&self, uid: &str) -> Vec<Arc<Entry>> {
        let mut owned = self.by_owner.get(uid);
        owned.retain(|entry| entry.meta.controller().is_some_and(|owner| *owner.uid == *uid));
        owned
    }

    /// Those that name this uid among their owners.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Arc<Entry>> {
        self.by_owner.get(uid)
    }

    pub(super) fn on_node(&self, node: &str) -> Vec<Arc<Entry>> {
        self.by_node.get(node)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of all objects, without what they take beside.
    pub(super) fn object_bytes(&self) -> usize {
        self.entries.iter().map(|slot| slot.0.bytes.len()).sum()
    }

    /// The revision under which the changes of one visit to the lock are remembered: the feed's own, or the next one where this collection is
    /// known further already, as with several feeds of single objects. So who listed before the visit finds them after what the list showed.
    pub(super) fn stamp(&self, revision: Revision) -> Revision {
        revision.max(Revision(self.moved.borrow().0 + 1))
    }

    /// Puts an object where nothing as new stands. `revision` is that of the change, which a relist makes later than the object's own.
    pub(super) fn put(&mut self, revision: Revision, entry: Arc<Entry>, at: Instant) {
        if self.get(&entry.key).is_some_and(|kept| kept.revision >= entry.revision) {
            return;
        }
        self.set(revision, entry, at);
    }

    /// Puts an object whatever stands there, unless it is the same.
    pub(super) fn replace(&mut self, revision: Revision, entry: Arc<Entry>, at: Instant) {
        if self.get(&entry.key).is_none_or(|kept| kept.revision != entry.revision || kept.meta.uid != entry.meta.uid) {
            self.set(revision, entry, at);
        }
    }

    fn set(&mut self, revision: Revision, entry: Arc<Entry>, at: Instant) {
        let was = self.insert(&entry);
        self.remember(revision, Some(entry), was, at);
    }

    pub(super) fn delete(&mut self, revision: Revision, key: &Key, at: Instant) {
        let Some(was) = self.take(key) else { return };
        self.remember(revision, None, Some(was), at);
    }

    /// Puts an object without telling anybody: what was there when the process started.
    pub(super) fn load(&mut self, entry: &Arc<Entry>) {
        self.insert(entry);
    }

    /// The keys that are here and not in `present`.
    pub(super) fn missing_from(&self, present: &BTreeSet<&Key>) -> Vec<Key> {
        self.entries.iter().filter(|slot| !present.contains(&slot.0.key)).map(|slot| slot.0.key.clone()).collect()
    }

    fn insert(&mut self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let was = self.take(&entry.key);
        let Names { owners, node } = self.names(entry);
        owners.into_iter().for_each(|owner| self.by_owner.add(owner, entry));
        node.into_iter().for_each(|node| self.by_node.add(node, entry));
        self.entries.insert(Slot(Arc::clone(entry)));
        was
    }

    fn take(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let Slot(was) = self.entries.take(key)?;
        let Names { owners, node } = self.names(&was);
        owners.iter().for_each(|owner| self.by_owner.remove(owner, key));
        node.iter().for_each(|node| self.by_node.remove(node, key));
        Some(was)
    }

    /// Under which names an entry stands in the indexes.
    fn names(&self, entry: &Entry) -> Names {
        let owners = entry.meta.owner_references.iter().map(|owner| owner.uid.clone()).collect();
        let node = if self.is_pods { entry.view::<views::Pod>().spec.node_name.clone() } else { None };
        Names { owners, node }
    }

    fn remember(&mut self, revision: Revision, now: Option<Arc<Entry>>, was: Option<Arc<Entry>>, at: Instant) {
        self.ring.push(Seen { revision, now, was }, at);
        self.advance(revision);
    }

    /// Everything up to `revision` is known now. Wakes who waits.
    pub(super) fn advance(&mut self, revision: Revision) {
        self.moved.send_modify(|known| *known = revision.max(*known));
    }
}

struct Names {
    /// Uids of all owners, the controlling one and others.
    owners: Vec<Box<str>>,
    node: Option<Box<str>>,
}

/// Entries by something that they name: an owner's uid, a node.
#[derive(Default)]
struct Index(HashMap<Box<str>, BTreeSet<Slot>>);

impl Index {
    fn get(&self, name: &str) -> Vec<Arc<Entry>> {
        self.0.get(name).into_iter().flatten().map(|slot| Arc::clone(&slot.0)).collect()
    }

    fn add(&mut self, name: Box<str>, entry: &Arc<Entry>) {
        self.0.entry(name).or_default().insert(Slot(Arc::clone(entry)));
    }

    fn remove(&mut self, name: &str, key: &Key) {
        if let Some(slots) = self.0.get_mut(name) {
            slots.remove(key);
            if slots.is_empty() {
                self.0.remove(name);
            }
        }
    }
}
