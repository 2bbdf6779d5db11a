//! The one thread that writes: many requests, one commit, then the answers.
use super::disk::{Disk, Sync};
use crate::{
    Error,
    ledger::{Head, Request},
    log::Log,
};
use knarr_machinery::Revision;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Writes in one commit. More gain nothing: the fsync is then a small part of the batch.
const BATCH: usize = 256;
/// Writes that wait for the thread. Beyond that writers wait to hand theirs over, which bounds memory and is some 20 commits away.
pub(super) const QUEUE: usize = 4096;
/// What was answered before the disk had it gets there at the latest so much later, even where nobody else writes.
const SOON: Duration = Duration::from_secs(2);
/// How long the thread sleeps where nothing is due; it wakes for every request anyway.
const IDLE: Duration = Duration::from_secs(3600);

pub(super) struct Job {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<Revision, Error>>,
}

pub(super) struct Writer {
    pub(super) disk: Arc<Disk>,
    pub(super) log: Arc<Log>,
    /// Since when answered writes wait to get to the disk.
    pub(super) unsynced_since: Option<Instant>,
    /// A commit failed. Nothing is acknowledged any more: what the disk holds is known only after it is opened again.
    pub(super) failure: Option<Error>,
}

impl Writer {
    /// Runs until every sender is gone, then brings everything to the disk.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        // A runtime of its own, for a receive with a timeout.
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the store's writer cannot start");
                self.log.close();
                return;
            }
        };
        loop {
            let wait = self.wait();
            match runtime.block_on(async { timeout(wait, jobs.recv()).await }) {
                Ok(Some(first)) => self.write(drain(first, &mut jobs)),
                Ok(None) => break,
                Err(_) => {}
            }
            self.expire();
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SOON) {
                self.flush();
            }
        }
        self.finish();
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let (requests, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.request, job.answer)).unzip();
        let count = requests.len();
        let outcomes = self.commit(requests).unwrap_or_else(|error| vec![Err(error); count]);
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Nobody is there for the answer when the request was cancelled; the write stands all the same.
            let _ = answer.send(outcome);
        }
    }

    fn commit(&mut self, requests: Vec<Request>) -> Result<Vec<Result<Revision, Error>>, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let (batch, keys) = {
            let ledger = self.log.ledger();
            (ledger.plan(requests, now_ms()), ledger.len())
        };
        if batch.steps.is_empty() {
            return Ok(batch.outcomes);
        }
        let sync = if batch.is_synced { Sync::Now } else { Sync::Later };
        let changes = self.disk.commit(batch.head, &batch.steps, sync, keys).inspect_err(|error| self.fail(error))?;
        self.unsynced_since = match sync {
            Sync::Now => None,
            Sync::Later => self.unsynced_since.or_else(|| Some(Instant::now())),
        };
        self.log.ledger().publish(batch.head, batch.steps, changes);
        self.log.wake();
        Ok(batch.outcomes)
    }

    fn fail(&mut self, error: &Error) {
        tracing::error!(%error, "a commit failed; the store takes no more writes until it is opened again");
        self.failure = Some(error.clone());
    }

    /// Brings to the disk what was answered without it.
    fn flush(&mut self) {
        if self.failure.is_none() {
            let (head, keys) = self.head();
            match self.disk.commit(head, &[], Sync::Now, keys) {
                Ok(_) => self.unsynced_since = None,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn expire(&mut self) {
        let expired = self.log.ledger().expired(now_ms());
        if !expired.is_empty() && self.failure.is_none() {
            tracing::debug!(keys = expired.len(), "expired");
            // A failure is logged and kept; a conflict cannot be, for no one else writes.
            let _ = self.commit(expired);
        }
    }

    /// Gives the rest of the reservation back, so that an orderly stop leaves no gap in the revisions.
    fn finish(mut self) {
        if self.failure.is_none() {
            let (head, keys) = self.head();
            let head = Head { reserved: head.revision, ..head };
            if let Err(error) = self.disk.commit(head, &[], Sync::Now, keys) {
                self.fail(&error);
            }
        }
        self.log.close();
    }

    fn head(&self) -> (Head, usize) {
        let ledger = self.log.ledger();
        (ledger.head(), ledger.len())
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        if self.failure.is_some() {
            return IDLE;
        }
        let due = self.log.ledger().next_due_ms().map_or(IDLE, |due| Duration::from_millis(due.saturating_sub(now_ms())));
        let unsynced = self.unsynced_since.map_or(IDLE, |since| SOON.saturating_sub(since.elapsed()));
        due.min(unsynced).min(IDLE)
    }
}

fn drain(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut batch = vec![first];
    while batch.len() < BATCH
        && let Ok(job) = jobs.try_recv()
    {
        batch.push(job);
    }
    batch
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
