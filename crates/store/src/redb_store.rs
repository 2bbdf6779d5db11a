//! A store in one file, with redb. One thread writes and commits many writes at once; values stay on the disk, and memory holds each key's
//! revision and the last few megabytes of changes.
//!
//! Refused: a separate write-ahead log (redb's own commit is as fast as one once writes are grouped) and a row for each revision (scans and
//! compactions that grow with the history).
mod disk;
mod lock;
#[cfg(test)]
mod tests;
mod writer;

use crate::{
    Changes, Error, Expect, Keep, Page, Pending, Store, Versioned,
    ledger::{Ledger, Request},
    log::Log,
    memory::cut,
};
use bytes::Bytes;
use disk::Disk;
use knarr_machinery::Revision;
use lock::FolderLock;
use std::{path::Path, sync::Arc, thread::JoinHandle};
use tokio::sync::{mpsc, oneshot};
use writer::{Job, QUEUE, Writer};

pub struct RedbStore {
    disk: Arc<Disk>,
    log: Arc<Log>,
    /// Taken away at the end, which is how the writer learns of it.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Given back last, when the writer is done. Tests without a folder have none.
    _lock: Option<FolderLock>,
}

impl RedbStore {
    /// Opens the store in a folder, which is made where it is missing. Blocks: it reads every key. `InUse` names the process that has it.
    pub fn open(folder: impl AsRef<Path>, keeps: Vec<Keep>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
        let lock = FolderLock::take(folder)?;
        Self::start(Disk::open(&folder.join("store.redb"))?, &folder.display().to_string(), keeps, Some(lock))
    }

    fn start(disk: Disk, folder: &str, keeps: Vec<Keep>, lock: Option<FolderLock>) -> Result<Self, Error> {
        let disk = Arc::new(disk);
        let found = disk.start(folder)?;
        let log = Log::new(Ledger::open(keeps, found.head, found.held, found.last));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer { disk: Arc::clone(&disk), log: Arc::clone(&log), unsynced_since: None, failure: None };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(queue));
        let writer = thread.map_err(|error| Error::Unavailable(format!("cannot start the writer: {error}")))?;
        Ok(Self { disk, log, jobs: Some(jobs), writer: Some(writer), _lock: lock })
    }

    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
        let disk = Arc::clone(&self.disk);
        let done = tokio::task::spawn_blocking(move || read(&disk)).await;
        done.unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
    }

    async fn list_page(&self, prefix: &str, page: Page<'_>) -> Result<(Vec<Versioned>, Revision), Error> {
        let (of, after, limit) = (prefix.to_owned(), page.after.map(ToOwned::to_owned), page.limit);
        let Some(at) = page.at else {
            return self.read(move |disk| disk.list(&of, after.as_deref(), limit)).await;
        };
        let (all, newest) = self.read(move |disk| disk.list(&of, None, 0)).await?;
        if at > newest {
            return Err(Error::Unavailable(format!("revision {at} has not happened yet")));
        }
        // The history must hold all that the list shows before it can be turned back.
        self.log.published(newest).await;
        Ok((cut(self.log.rewind(prefix, newest, at, all)?, page), at))
    }
}

impl Store for RedbStore {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<Versioned>, Error>> {
        let key = key.to_owned();
        Box::pin(self.read(move |disk| disk.get(&key)))
    }

    fn list<'a>(&'a self, prefix: &'a str, page: Page<'a>) -> Pending<'a, Result<(Vec<Versioned>, Revision), Error>> {
        Box::pin(self.list_page(prefix, page))
    }

    fn write<'a>(&'a self, key: &'a str, expect: Expect, value: Option<Bytes>) -> Pending<'a, Result<Revision, Error>> {
        Box::pin(async move {
            let closed = || Error::Unavailable("its writer has ended".into());
            let (answer, answered) = oneshot::channel();
            let job = Job { request: Request { key: key.into(), expect, value }, answer };
            self.jobs.as_ref().ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Result<Box<dyn Changes>, Error>> {
        Box::pin(async move { Ok(Box::new(self.log.watch(prefix, after)?) as Box<dyn Changes>) })
    }

    fn compact(&self, before: Revision) -> Pending<'_, Result<(), Error>> {
        Box::pin(async move {
            self.log.ledger().compact(before);
            Ok(())
        })
    }

    fn last_change<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Revision, Error>> {
        Box::pin(async move { Ok(self.log.ledger().last_change(prefix)) })
    }
}

impl Drop for RedbStore {
    /// Waits for the last commit, some milliseconds.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}
