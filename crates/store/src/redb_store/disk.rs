//! The tables on the disk, in redb. Blocking; called by the writer's thread and by blocking readers.
use crate::{
    Change, Error, Versioned,
    ledger::{Head, Held, Step, change, collection},
};
use bytes::Bytes;
use knarr_machinery::Revision;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::{collections::BTreeMap, ops::Bound, path::Path, sync::Arc};

/// Key -> revision, milliseconds since 1970 of the last write, value.
const OBJECTS: TableDefinition<&str, (u64, u64, &[u8])> = TableDefinition::new("objects");
/// Collection -> revision of its last change, deletions included.
const LAST: TableDefinition<&str, u64> = TableDefinition::new("last");
const HEAD: TableDefinition<&str, u64> = TableDefinition::new("head");
const FORMAT_KEY: &str = "format";
const REVISION_KEY: &str = "revision";
const RESERVED_KEY: &str = "reserved";

/// The layout of these tables. Raised when an older Knarr could no longer read them.
const FORMAT: u64 = 1;
/// redb's default is 1 GiB. The system caches the file too, and reads that matter are answered by the shelf.
const CACHE_BYTES: usize = 8 << 20;
/// From so many keys on, each commit also saves redb's allocator state, so that a start after a crash need not walk the whole file. That
/// costs a second fsync a commit; below this number the walk is shorter than a second.
const QUICK_REPAIR_FROM_KEYS: usize = 50_000;

pub(super) struct Disk {
    db: Database,
}

/// What the disk held when it was opened.
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) held: Vec<(Arc<str>, Held)>,
    pub(super) last: BTreeMap<Box<str>, Revision>,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Now,
    /// With the next commit that does.
    Later,
}

fn unavailable(error: impl Into<redb::Error>) -> Error {
    Error::Unavailable(error.into().to_string())
}

impl Disk {
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        Ok(Self { db: builder().create(file).map_err(unavailable)? })
    }

    #[cfg(test)]
    pub(super) fn with_backend(backend: impl redb::StorageBackend) -> Result<Self, Error> {
        Ok(Self { db: builder().create_with_backend(backend).map_err(unavailable)? })
    }

    /// Reads what is there and makes the tables where they are not. Everything that may have been handed out counts as taken: the newest
    /// revision becomes the end of the last reservation.
    pub(super) fn start(&self, folder: &str) -> Result<Found, Error> {
        let transaction = self.db.begin_write().map_err(unavailable)?;
        let mut found = Found { head: Head { revision: Revision(0), reserved: Revision(0) }, held: vec![], last: BTreeMap::new() };
        {
            let mut head = transaction.open_table(HEAD).map_err(unavailable)?;
            let format = head.get(FORMAT_KEY).map_err(unavailable)?.map_or(FORMAT, |format| format.value());
            if format > FORMAT {
                return Err(Error::NewerFormat { folder: folder.into(), found: format, known: FORMAT });
            }
            head.insert(FORMAT_KEY, FORMAT).map_err(unavailable)?;
            let reserved = Revision(head.get(RESERVED_KEY).map_err(unavailable)?.map_or(0, |reserved| reserved.value()));
            found.head = Head { revision: reserved, reserved };
            head.insert(REVISION_KEY, reserved.0).map_err(unavailable)?;
            for row in transaction.open_table(OBJECTS).map_err(unavailable)?.iter().map_err(unavailable)? {
                let (key, value) = row.map_err(unavailable)?;
                let (revision, written_ms, _) = value.value();
                found.held.push((key.value().into(), Held { revision: Revision(revision), written_ms }));
            }
            for row in transaction.open_table(LAST).map_err(unavailable)?.iter().map_err(unavailable)? {
                let (key, revision) = row.map_err(unavailable)?;
                found.last.insert(key.value().into(), Revision(revision.value()));
            }
        }
        transaction.commit().map_err(unavailable)?;
        Ok(found)
    }

    /// Writes the steps of a batch in one transaction and answers what they changed.
    pub(super) fn commit(&self, head: Head, steps: &[Step], sync: Sync, keys: usize) -> Result<Vec<Change>, Error> {
        let mut transaction = self.db.begin_write().map_err(unavailable)?;
        match sync {
            Sync::Now => transaction.set_quick_repair(keys >= QUICK_REPAIR_FROM_KEYS),
            Sync::Later => transaction.set_durability(Durability::None).map_err(|error| Error::Unavailable(error.to_string()))?,
        }
        let changes = write(&transaction, head, steps).map_err(unavailable)?;
        transaction.commit().map_err(unavailable)?;
        Ok(changes)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Versioned>, Error> {
        let transaction = self.db.begin_read().map_err(unavailable)?;
        let objects = transaction.open_table(OBJECTS).map_err(unavailable)?;
        let found = objects.get(key).map_err(unavailable)?;
        Ok(found.map(|row| versioned(key, row.value())))
    }

    /// A page of the newest state and the revision that it shows.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<(Vec<Versioned>, Revision), Error> {
        let transaction = self.db.begin_read().map_err(unavailable)?;
        let revision = transaction.open_table(HEAD).map_err(unavailable)?.get(REVISION_KEY).map_err(unavailable)?;
        let revision = Revision(revision.map_or(0, |revision| revision.value()));
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let objects = transaction.open_table(OBJECTS).map_err(unavailable)?;
        let mut list = vec![];
        for row in objects.range::<&str>((start, Bound::Unbounded)).map_err(unavailable)? {
            let (key, value) = row.map_err(unavailable)?;
            if !key.value().starts_with(prefix) || (limit > 0 && list.len() == limit) {
                break;
            }
            list.push(versioned(key.value(), value.value()));
        }
        Ok((list, revision))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write(transaction: &WriteTransaction, at: Head, steps: &[Step]) -> Result<Vec<Change>, redb::Error> {
    let mut objects = transaction.open_table(OBJECTS)?;
    let mut last = transaction.open_table(LAST)?;
    let mut head = transaction.open_table(HEAD)?;
    let mut changes = Vec::with_capacity(steps.len());
    for step in steps {
        let was = match &step.value {
            Some(value) => objects.insert(&*step.key, (step.revision.0, step.written_ms, &value[..]))?,
            None => objects.remove(&*step.key)?,
        };
        changes.extend(change(step, was.map(|row| versioned(&step.key, row.value()))));
        last.insert(collection(&step.key), step.revision.0)?;
    }
    head.insert(REVISION_KEY, at.revision.0)?;
    head.insert(RESERVED_KEY, at.reserved.0)?;
    Ok(changes)
}

fn versioned(key: &str, (revision, _, value): (u64, u64, &[u8])) -> Versioned {
    Versioned { key: key.into(), revision: Revision(revision), value: Bytes::copy_from_slice(value) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::redb_store) fn set_format(file: &Path, format: u64) {
        let db = Database::create(file).unwrap();
        let transaction = db.begin_write().unwrap();
        transaction.open_table(HEAD).unwrap().insert(FORMAT_KEY, format).unwrap();
        transaction.commit().unwrap();
    }
}
