//! The ledger with those who wait for it: what both stores share of watching.
use crate::{Change, Changes, Error, Pending, Versioned, history, history::Place, ledger::Ledger};
use knarr_machinery::Revision;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Changes handed to a watcher at once, and looked at under one hold of the lock.
const BATCH: usize = 256;

pub(crate) struct Log {
    ledger: Mutex<Ledger>,
    moved: watch::Sender<Revision>,
}

impl Log {
    pub(crate) fn new(ledger: Ledger) -> Arc<Self> {
        let moved = watch::Sender::new(ledger.head().revision);
        Arc::new(Self { ledger: Mutex::new(ledger), moved })
    }

    /// Held for a few lines, never across an await or a commit.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells watchers that the ledger moved.
    pub(crate) fn wake(&self) {
        let revision = self.ledger().head().revision;
        self.moved.send_replace(revision);
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.ledger().close();
        self.wake();
    }

    pub(crate) fn watch(self: &Arc<Self>, prefix: &str, after: Revision) -> Result<Tail, Error> {
        let ledger = self.ledger();
        ledger.check_history(prefix, after)?;
        let place = ledger.history().seek(after);
        Ok(Tail { log: Arc::clone(self), prefix: prefix.into(), after, place, moved: self.moved.subscribe() })
    }

    /// Waits until a committed revision is published too.
    pub(crate) async fn published(&self, revision: Revision) {
        // The sender lives in this log, so waiting ends only with the revision.
        let _ = self.moved.subscribe().wait_for(|known| *known >= revision).await;
    }

    /// Turns a list that shows the revision `from` into what it was at an earlier one, as long as the history reaches back so far.
    pub(crate) fn rewind(&self, prefix: &str, from: Revision, at: Revision, list: Vec<Versioned>) -> Result<Vec<Versioned>, Error> {
        let ledger = self.ledger();
        if at == from || at >= ledger.last_change(prefix) {
            return Ok(list);
        }
        ledger.check_history(prefix, at)?;
        let mut objects: BTreeMap<_, _> = list.into_iter().map(|object| (object.key.clone(), object)).collect();
        let history = ledger.history();
        let is_undone = |change: &&Change| history::revision(change) <= from && history::key(change).starts_with(prefix);
        for change in history.read(history.seek(at), usize::MAX)?.rev().filter(is_undone) {
            match change {
                Change::Put { was: Some(was), .. } | Change::Delete { was, .. } => objects.insert(was.key.clone(), was.clone()),
                Change::Put { now, was: None } => objects.remove(&now.key),
            };
        }
        Ok(objects.into_values().collect())
    }
}

/// A watcher at its place in the history.
pub(crate) struct Tail {
    log: Arc<Log>,
    prefix: Box<str>,
    after: Revision,
    place: Place,
    moved: watch::Receiver<Revision>,
}

impl Tail {
    /// What there is now; empty when nothing below the prefix happened. Cancel-safe with its caller: the place moves with the answer.
    fn read(&mut self) -> Result<Vec<Change>, Error> {
        let ledger = self.log.ledger();
        let (mut found, mut looked_at) = (vec![], BATCH);
        while found.is_empty() && looked_at == BATCH {
            looked_at = 0;
            for change in ledger.history().read(self.place, BATCH)? {
                looked_at += 1;
                // Who listed a committed revision before it was published must not see it again.
                if history::revision(change) > self.after && history::key(change).starts_with(&*self.prefix) {
                    found.push(change.clone());
                }
            }
            self.place += looked_at as Place;
        }
        if found.is_empty() && ledger.is_closed() {
            return Err(Error::Unavailable("it is closed".into()));
        }
        Ok(found)
    }
}

impl Changes for Tail {
    fn next(&mut self) -> Pending<'_, Result<Vec<Change>, Error>> {
        Box::pin(async {
            loop {
                self.moved.mark_unchanged();
                let found = self.read()?;
                if !found.is_empty() {
                    return Ok(found);
                }
                self.moved.changed().await.map_err(|_| Error::Unavailable("it is closed".into()))?;
            }
        })
    }
}
