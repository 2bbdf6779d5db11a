//! A store in memory, for tests and for clusters that need not outlive their process. Works inline, without a thread, so that tests with
//! paused time see every write at once.
use crate::{
    Change, Changes, Error, Expect, Keep, Page, Pending, Store, Versioned,
    ledger::{Head, Ledger, Request, change},
    log::{Log, Tail},
};
use bytes::Bytes;
use knarr_machinery::Revision;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

pub struct MemoryStore(Arc<Inner>);

struct Inner {
    /// Held while a write goes through: values and ledger move together.
    objects: Mutex<BTreeMap<Arc<str>, (Revision, Bytes)>>,
    log: Arc<Log>,
    start: Instant,
}

impl MemoryStore {
    pub fn new(keeps: Vec<Keep>) -> Self {
        // Nothing outlives the process, so every revision may count as reserved.
        let head = Head { revision: Revision(0), reserved: Revision(u64::MAX) };
        let log = Log::new(Ledger::open(keeps, head, vec![], BTreeMap::new()));
        Self(Arc::new(Inner { objects: Mutex::default(), log, start: Instant::now() }))
    }
}

impl Inner {
    /// The objects, after what is due by now has expired.
    fn objects(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, (Revision, Bytes)>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let expired = self.log.ledger().expired(self.now_ms());
            if expired.is_empty() {
                return objects;
            }
            self.commit(&mut objects, expired);
        }
    }

    fn commit(&self, objects: &mut BTreeMap<Arc<str>, (Revision, Bytes)>, requests: Vec<Request>) -> Vec<Result<Revision, Error>> {
        let mut ledger = self.log.ledger();
        let batch = ledger.plan(requests, self.now_ms());
        let mut changes = vec![];
        for step in &batch.steps {
            let was = match &step.value {
                Some(value) => objects.insert(Arc::clone(&step.key), (step.revision, value.clone())),
                None => objects.remove(&step.key),
            };
            changes.extend(change(step, was.map(|(revision, value)| Versioned { key: step.key.to_string(), revision, value })));
        }
        ledger.publish(batch.head, batch.steps, changes);
        drop(ledger);
        self.log.wake();
        batch.outcomes
    }

    fn list(&self, prefix: &str, page: Page<'_>) -> Result<(Vec<Versioned>, Revision), Error> {
        let objects = self.objects();
        let newest = self.log.ledger().head().revision;
        let at = page.at.unwrap_or(newest);
        if at > newest {
            return Err(Error::Unavailable(format!("revision {at} has not happened yet")));
        }
        let range = objects.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let below = range.take_while(|(key, _)| key.starts_with(prefix));
        let all =
            below.map(|(key, (revision, value))| Versioned { key: key.to_string(), revision: *revision, value: value.clone() }).collect();
        Ok((cut(self.log.rewind(prefix, newest, at, all)?, page), at))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The part of a whole list that a page asks for.
pub(crate) fn cut(list: Vec<Versioned>, page: Page<'_>) -> Vec<Versioned> {
    let limit = if page.limit == 0 { usize::MAX } else { page.limit };
    list.into_iter().filter(|object| page.after.is_none_or(|after| object.key.as_str() > after)).take(limit).collect()
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<Versioned>, Error>> {
        Box::pin(async move {
            let found = self.0.objects().get(key).cloned();
            Ok(found.map(|(revision, value)| Versioned { key: key.into(), revision, value }))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str, page: Page<'a>) -> Pending<'a, Result<(Vec<Versioned>, Revision), Error>> {
        Box::pin(async move { self.0.list(prefix, page) })
    }

    fn write<'a>(&'a self, key: &'a str, expect: Expect, value: Option<Bytes>) -> Pending<'a, Result<Revision, Error>> {
        Box::pin(async move {
            let mut objects = self.0.objects();
            let mut outcomes = self.0.commit(&mut objects, vec![Request { key: key.into(), expect, value }]);
            outcomes.pop().expect("one request has one outcome")
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Result<Box<dyn Changes>, Error>> {
        Box::pin(async move {
            let tail = self.0.log.watch(prefix, after)?;
            Ok(Box::new(MemoryTail { tail, store: Arc::clone(&self.0) }) as Box<dyn Changes>)
        })
    }

    fn compact(&self, before: Revision) -> Pending<'_, Result<(), Error>> {
        self.0.log.ledger().compact(before);
        Box::pin(async { Ok(()) })
    }

    fn last_change<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Revision, Error>> {
        Box::pin(async move { Ok(self.0.log.ledger().last_change(prefix)) })
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.0.log.close();
    }
}

/// A watcher that also lets keys expire: nobody else would, where nobody writes.
struct MemoryTail {
    tail: Tail,
    store: Arc<Inner>,
}

impl Changes for MemoryTail {
    fn next(&mut self) -> Pending<'_, Result<Vec<Change>, Error>> {
        Box::pin(async {
            loop {
                drop(self.store.objects());
                let due_ms = self.store.log.ledger().next_due_ms();
                let due = async {
                    match due_ms {
                        Some(due_ms) => tokio::time::sleep_until(self.store.start + Duration::from_millis(due_ms)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    changes = self.tail.next() => return changes,
                    () = due => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::check(|| Arc::new(MemoryStore::new(contract::keeps())), |store| store).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_sees_what_expires_though_nobody_writes() {
        let store = MemoryStore::new(contract::keeps());
        let key = "/brief/a/b/c";
        let revision = store.write(key, Expect::Absent, Some(contract::value(key))).await.expect("it is new");
        let mut changes = store.watch("/brief/", revision).await.expect("the history is short");
        let change = changes.next().await.expect("the store is open").remove(0);
        assert!(matches!(change, Change::Delete { was, .. } if was.key == key));
        assert_eq!(store.0.start.elapsed().as_secs(), 3600);
    }

    #[tokio::test]
    async fn a_watch_ends_with_the_store() {
        let store = MemoryStore::new(vec![]);
        let mut changes = store.watch("/", Revision(0)).await.expect("the history is short");
        drop(store);
        assert!(matches!(changes.next().await, Err(Error::Unavailable(_))));
    }
}
