//! What a collection went through, change by change: for what must be so at every moment, and not only in the end.
use knarr_cluster::{Shelf, View, Watch};
use knarr_machinery::{Key, Revision};
use std::{collections::BTreeMap, sync::Arc};

pub struct History<V> {
    states: BTreeMap<Key, Arc<V>>,
    watch: Watch,
}

impl<V: View> History<V> {
    /// Begins with the collection as it is now.
    pub(crate) fn new(shelf: &Arc<Shelf>) -> Self {
        let (entries, revision) = shelf.list(&V::resource(), None);
        let states = entries.iter().map(|entry| (entry.key.clone(), entry.view())).collect();
        let watch = shelf.watch(&V::resource(), revision).expect("what was just listed is not too old");
        Self { states, watch }
    }

    /// Shows the whole collection after each change since the last call. The shelf keeps five minutes of changes: call it as often.
    pub fn replay(&mut self, mut check: impl FnMut(Revision, &BTreeMap<Key, Arc<V>>)) {
        loop {
            let changes = self.watch.ready().expect("replayed before the shelf forgets");
            if changes.is_empty() {
                return;
            }
            for change in changes {
                match (change.now, change.was) {
                    (Some(now), _) => drop(self.states.insert(now.key.clone(), now.view())),
                    (None, Some(was)) => drop(self.states.remove(&was.key)),
                    (None, None) => {}
                }
                check(change.revision, &self.states);
            }
        }
    }
}
