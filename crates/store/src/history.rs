//! The last changes of all keys, oldest first, bounded in bytes. Pure.
use crate::{Change, Error};
use knarr_machinery::Revision;
use std::collections::VecDeque;

/// The one reader that matters, the server's feed, is milliseconds behind; this is some hundreds of changes of pods.
const LIMIT_BYTES: usize = 4 << 20;
/// What a change takes beside its keys and values.
const OVERHEAD_BYTES: usize = 160;

/// Where a watcher stands: the number of the next change it has not seen.
pub(crate) type Place = u64;

pub(crate) struct History {
    changes: VecDeque<Change>,
    /// The place of the oldest change kept.
    first: Place,
    /// Every change after this revision is kept.
    floor: Revision,
    bytes: usize,
}

impl History {
    /// Nothing is known of what happened up to `floor`.
    pub(crate) fn new(floor: Revision) -> Self {
        Self { changes: VecDeque::new(), first: 0, floor, bytes: 0 }
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.bytes += cost(&change);
        self.changes.push_back(change);
        while self.bytes > LIMIT_BYTES {
            self.drop_oldest();
        }
    }

    pub(crate) fn compact(&mut self, up_to: Revision) {
        while self.changes.front().is_some_and(|oldest| revision(oldest) <= up_to) {
            self.drop_oldest();
        }
        self.floor = self.floor.max(up_to);
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.changes.pop_front() {
            self.bytes -= cost(&oldest);
            self.floor = self.floor.max(revision(&oldest));
            self.first += 1;
        }
    }

    /// Every change after this revision is kept.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// The place after all changes up to a revision.
    pub(crate) fn seek(&self, after: Revision) -> Place {
        self.first + self.changes.partition_point(|change| revision(change) <= after) as Place
    }

    /// Up to `limit` changes from a place on, or nothing where the place is the end.
    pub(crate) fn read(&self, from: Place, limit: usize) -> Result<impl DoubleEndedIterator<Item = &Change>, Error> {
        let skip = from.checked_sub(self.first).ok_or(Error::Compacted { oldest: self.floor })?;
        let skip = usize::try_from(skip).expect("a place is within the history, which is in memory").min(self.changes.len());
        Ok(self.changes.range(skip..self.changes.len().min(skip.saturating_add(limit))))
    }
}

/// When a change happened.
pub(crate) fn revision(change: &Change) -> Revision {
    match change {
        Change::Put { now, .. } => now.revision,
        Change::Delete { at, .. } => *at,
    }
}

/// What was changed.
pub(crate) fn key(change: &Change) -> &str {
    match change {
        Change::Put { now, .. } => &now.key,
        Change::Delete { was, .. } => &was.key,
    }
}

fn cost(change: &Change) -> usize {
    let (now, was) = match change {
        Change::Put { now, was } => (now.value.len(), was.as_ref().map_or(0, |was| was.value.len())),
        Change::Delete { was, .. } => (0, was.value.len()),
    };
    OVERHEAD_BYTES + key(change).len() + now + was
}
