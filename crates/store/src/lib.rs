//! A log of versions: each write takes the next revision, and a watch replays them in order. Knows keys and bytes, never kinds.
use bytes::Bytes;
use knarr_machinery::Revision;
pub use knarr_machinery::Pending;
use std::time::Duration;

/// A value as the store keeps it. `value` is the object's final JSON, its `metadata.resourceVersion` already in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    pub key: String,
    pub revision: Revision,
    pub value: Bytes,
}

/// What a write expects to find at its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expect {
    Absent,
    At(Revision),
}

/// How a prefix keeps what is written under it. The opener says it, so the store need not know what a Lease is.
#[derive(Debug, Clone, PartialEq)]
pub struct Keep {
    pub prefix: String,
    pub durability: Durability,
    /// A key not written for so long is deleted.
    pub time_to_live: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Durability {
    /// Answered after the disk has it.
    Synced,
    /// Answered at once, on the disk with the next synced write: may be lost in a crash, its revision never reused.
    Soon,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Someone else wrote first.
    #[error("expected another version; found {found:?}")]
    Conflict { found: Option<Revision> },
    /// The history before this revision is gone.
    #[error("compacted: the oldest revision kept is {oldest}")]
    Compacted { oldest: Revision },
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// One step of the log. A delete has a revision of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Put { now: Versioned, was: Option<Versioned> },
    Delete { at: Revision, was: Versioned },
}

/// Yields changes, in order, until the store closes. Dropping it ends the watch.
pub trait Changes: Send {
    fn next(&mut self) -> Pending<'_, Result<Vec<Change>, Error>>;
}

/// Which part of a list: what was written up to `at` (the newest where `None`), after the key `after`, at most `limit` (0: all).
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    pub at: Option<Revision>,
    pub after: Option<&'a str>,
    pub limit: usize,
}

pub trait Store: Send + Sync {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<Versioned>, Error>>;
    /// In bytewise order of keys, with the revision that the list shows.
    fn list<'a>(&'a self, prefix: &'a str, page: Page<'a>) -> Pending<'a, Result<(Vec<Versioned>, Revision), Error>>;
    /// Writes `value` at `key`, or deletes the key where `value` is `None`. The bytes are an object's JSON in which the first
    /// `"resourceVersion":""` is a hole: the store fills in the revision that the write takes.
    fn write<'a>(&'a self, key: &'a str, expect: Expect, value: Option<Bytes>) -> Pending<'a, Result<Revision, Error>>;
    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Result<Box<dyn Changes>, Error>>;
    fn compact(&self, before: Revision) -> Pending<'_, Result<(), Error>>;
}
