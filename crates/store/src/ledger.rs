//! What a store knows of its keys without their values: which revision each has, when it expires, what happened last. Decides which writes
//! go through and which revisions they take. Pure: time is an argument.
use crate::{Change, Durability, Error, Expect, Keep, Versioned, history::History, hole};
use bytes::Bytes;
use knarr_machinery::Revision;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Revisions are reserved on the disk in blocks of so many: a crash skips the rest of a block and so never hands one out twice, and a
/// write that need not be synced costs no sync of its own but every so often.
const RESERVED_AT_ONCE: u64 = 4096;
/// A batch that is synced anyway renews the reservation when less than this is left.
const RESERVE_EARLY: u64 = RESERVED_AT_ONCE / 2;
/// Keys that expire in one batch.
const EXPIRED_AT_ONCE: usize = 256;

/// A write that somebody wants.
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) expect: Expect,
    pub(crate) value: Option<Bytes>,
}

/// A write that goes through. `value` has its revision in it; none deletes.
pub(crate) struct Step {
    pub(crate) key: Arc<str>,
    pub(crate) revision: Revision,
    pub(crate) written_ms: u64,
    pub(crate) value: Option<Bytes>,
}

/// What becomes of some requests, in their order.
pub(crate) struct Batch {
    pub(crate) outcomes: Vec<Result<Revision, Error>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) head: Head,
    /// Answer only after the disk has it.
    pub(crate) is_synced: bool,
}

/// How far the revisions have come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Head {
    /// The newest revision that was taken.
    pub(crate) revision: Revision,
    /// Revisions up to here may have been handed out; the disk knows.
    pub(crate) reserved: Revision,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) revision: Revision,
    pub(crate) written_ms: u64,
}

pub(crate) struct Ledger {
    keeps: Vec<Keep>,
    index: BTreeMap<Arc<str>, Held>,
    /// Keys by when they expire.
    due: BTreeSet<(u64, Arc<str>)>,
    /// The last change of each collection, deletions included.
    last: BTreeMap<Box<str>, Revision>,
    head: Head,
    history: History,
    is_closed: bool,
}

impl Ledger {
    /// A ledger over what was there when the store was opened.
    pub(crate) fn open(keeps: Vec<Keep>, head: Head, held: Vec<(Arc<str>, Held)>, last: BTreeMap<Box<str>, Revision>) -> Self {
        let mut ledger = Self {
            keeps,
            index: BTreeMap::new(),
            due: BTreeSet::new(),
            last,
            head,
            history: History::new(head.revision),
            is_closed: false,
        };
        for (key, held) in held {
            ledger.due.extend(ledger.due_at(&key, held.written_ms).map(|due| (due, Arc::clone(&key))));
            ledger.index.insert(key, held);
        }
        ledger
    }

    /// Decides a batch. Changes nothing: `publish` does, once the values are where they belong.
    pub(crate) fn plan(&self, requests: Vec<Request>, now_ms: u64) -> Batch {
        let mut written: HashMap<Arc<str>, Option<Revision>> = HashMap::new();
        let mut batch = Batch { outcomes: Vec::with_capacity(requests.len()), steps: Vec::new(), head: self.head, is_synced: false };
        for Request { key, expect, value } in requests {
            let known = self.index.get_key_value(key.as_str());
            let found = written.get(key.as_str()).copied().unwrap_or(known.map(|(_, held)| held.revision));
            let fits = match expect {
                Expect::Absent => found.is_none() && value.is_some(),
                Expect::At(revision) => found == Some(revision),
            };
            if !fits {
                batch.outcomes.push(Err(Error::Conflict { found }));
                continue;
            }
            let revision = Revision(batch.head.revision.0 + 1);
            let key: Arc<str> = known.map_or_else(|| key.as_str().into(), |(kept, _)| Arc::clone(kept));
            batch.is_synced |= self.keep(&key).is_none_or(|keep| keep.durability == Durability::Synced);
            written.insert(Arc::clone(&key), value.is_some().then_some(revision));
            let value = value.map(|value| hole::fill(&value, revision));
            batch.steps.push(Step { key, revision, written_ms: now_ms, value });
            batch.head.revision = revision;
            batch.outcomes.push(Ok(revision));
        }
        reserve(&mut batch);
        batch
    }

    /// Makes a batch known: its steps are done, and these are the changes that they made.
    pub(crate) fn publish(&mut self, head: Head, steps: Vec<Step>, changes: Vec<Change>) {
        for step in steps {
            if let Some(held) = self.index.get(&step.key)
                && let Some(due) = self.due_at(&step.key, held.written_ms)
            {
                self.due.remove(&(due, Arc::clone(&step.key)));
            }
            self.last.insert(collection(&step.key).into(), step.revision);
            if step.value.is_none() {
                self.index.remove(&step.key);
                continue;
            }
            self.due.extend(self.due_at(&step.key, step.written_ms).map(|due| (due, Arc::clone(&step.key))));
            self.index.insert(step.key, Held { revision: step.revision, written_ms: step.written_ms });
        }
        for change in changes {
            self.history.push(change);
        }
        self.head = head;
    }

    /// The deletes of what has expired by now.
    pub(crate) fn expired(&self, now_ms: u64) -> Vec<Request> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now_ms).take(EXPIRED_AT_ONCE);
        due.filter_map(|(_, key)| {
            let held = self.index.get(key)?;
            Some(Request { key: key.to_string(), expect: Expect::At(held.revision), value: None })
        })
        .collect()
    }

    /// When the next key expires.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Checks that everything below a prefix after a revision can be told.
    pub(crate) fn check_history(&self, prefix: &str, after: Revision) -> Result<(), Error> {
        if after >= self.history.floor() || after >= self.last_change(prefix) {
            return Ok(());
        }
        Err(Error::Compacted { oldest: self.history.floor() })
    }

    pub(crate) fn last_change(&self, prefix: &str) -> Revision {
        let below = |collection: &str| collection.starts_with(prefix) || prefix.starts_with(collection);
        self.last.iter().filter(|(collection, _)| below(collection)).map(|(_, revision)| *revision).max().unwrap_or_default()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn compact(&mut self, up_to: Revision) {
        self.history.compact(up_to.min(self.head.revision));
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// How a key is kept: by the longest prefix that says so. Synced and for ever where none does.
    fn keep(&self, key: &str) -> Option<&Keep> {
        self.keeps.iter().filter(|keep| key.starts_with(&keep.prefix)).max_by_key(|keep| keep.prefix.len())
    }

    fn due_at(&self, key: &str, written_ms: u64) -> Option<u64> {
        let time_to_live = self.keep(key)?.time_to_live?;
        Some(written_ms.saturating_add(u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Extends the reservation when it is used up, which makes the batch a synced one, or nearly so and the batch is synced anyway.
fn reserve(batch: &mut Batch) {
    let left = batch.head.reserved.0.saturating_sub(batch.head.revision.0);
    let is_used_up = batch.head.revision > batch.head.reserved;
    if is_used_up || (batch.is_synced && left < RESERVE_EARLY) {
        batch.head.reserved = Revision(batch.head.revision.0 + RESERVED_AT_ONCE);
        batch.is_synced = true;
    }
}

/// The part of a key up to its third name: `/registry/core/pods/`. What last changed is remembered for each.
pub(crate) fn collection(key: &str) -> &str {
    let slash = key.match_indices('/').nth(3);
    slash.map_or(key, |(at, _)| &key[..=at])
}

/// A step as the change it makes, given what stood at its key.
pub(crate) fn change(step: &Step, was: Option<Versioned>) -> Option<Change> {
    match (&step.value, was) {
        (Some(value), was) => {
            Some(Change::Put { now: Versioned { key: step.key.to_string(), revision: step.revision, value: value.clone() }, was })
        }
        (None, Some(was)) => Some(Change::Delete { at: step.revision, was }),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ledger() -> Ledger {
        let soon = |prefix: &str, time_to_live| Keep { prefix: prefix.into(), durability: Durability::Soon, time_to_live };
        let keeps = vec![soon("/r/core/events/", Some(Duration::from_secs(10))), soon("/r/core/leases/", None)];
        let head = Head { revision: Revision(0), reserved: Revision(RESERVED_AT_ONCE) };
        Ledger::open(keeps, head, vec![], BTreeMap::new())
    }

    fn put(key: &str, expect: Expect) -> Request {
        Request { key: format!("/r/core/{key}"), expect, value: Some(Bytes::from_static(b"{}")) }
    }

    #[test]
    fn a_soon_write_syncs_only_when_the_reservation_is_used_up() {
        let check = |key: &str, revision: u64, is_synced: bool| {
            let mut ledger = ledger();
            ledger.head.revision = Revision(revision);
            let batch = ledger.plan(vec![put(key, Expect::Absent)], 0);
            assert_eq!(batch.is_synced, is_synced, "{key} at {revision}");
            assert!(batch.head.revision <= batch.head.reserved, "nothing is handed out that is not reserved");
        };
        check("leases/a", 0, false);
        check("leases/a", RESERVED_AT_ONCE - 1, false);
        check("leases/a", RESERVED_AT_ONCE, true);
        check("pods/a", 0, true);
        check("pods/a", RESERVED_AT_ONCE, true);
    }

    #[test]
    fn writes_of_one_batch_see_each_other() {
        let batch =
            ledger().plan(vec![put("pods/a", Expect::Absent), put("pods/a", Expect::Absent), put("pods/a", Expect::At(Revision(1)))], 0);
        let conflict = Err(Error::Conflict { found: Some(Revision(1)) });
        assert_eq!(batch.outcomes, [Ok(Revision(1)), conflict, Ok(Revision(2))]);
    }

    #[test]
    fn a_rewritten_key_lives_on() {
        let mut ledger = ledger();
        let mut write = |expect, now_ms| {
            let batch = ledger.plan(vec![put("events/a", expect)], now_ms);
            ledger.publish(batch.head, batch.steps, vec![]);
            ledger.next_due_ms()
        };
        assert_eq!(write(Expect::Absent, 1_000), Some(11_000));
        assert_eq!(write(Expect::At(Revision(1)), 5_000), Some(15_000));
        assert_eq!((ledger.expired(14_999).len(), ledger.expired(15_000).len()), (0, 1));
    }
}
