//! The seam: what a store is asked and what it answers.
use bytes::Bytes;
use knarr_machinery::{Pending, Revision};
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
    /// Another process has the folder open.
    #[error("the data folder {folder} is in use by {by}")]
    InUse { folder: String, by: String },
    /// A newer Knarr wrote this folder.
    #[error("the data folder {folder} has format {found}; this version of Knarr reads up to {known}")]
    NewerFormat { folder: String, found: u64, known: u64 },
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
    /// In bytewise order of keys, with the revision that the list shows. A past revision is answered while the history reaches back to it or
    /// nothing below the prefix changed since; otherwise it is `Compacted`.
    fn list<'a>(&'a self, prefix: &'a str, page: Page<'a>) -> Pending<'a, Result<(Vec<Versioned>, Revision), Error>>;
    /// Writes `value` at `key`, or deletes the key where `value` is `None`. The bytes are an object's compact JSON in which the
    /// `"resourceVersion":""` of `metadata` is a hole: the store fills in the revision that the write takes. Deleting what is not there is a
    /// `Conflict`.
    fn write<'a>(&'a self, key: &'a str, expect: Expect, value: Option<Bytes>) -> Pending<'a, Result<Revision, Error>>;
    /// The changes below a prefix after a revision. `Compacted` when some of them are no longer known; after a restart that is any revision
    /// before the last change below the prefix.
    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Result<Box<dyn Changes>, Error>>;
    /// Forgets the history up to a revision: a watch after it goes on, one from before does not.
    fn compact(&self, before: Revision) -> Pending<'_, Result<(), Error>>;
    /// The revision of the last change below a prefix, deletions included. Known across restarts.
    fn last_change<'a>(&'a self, prefix: &'a str) -> Pending<'a, Result<Revision, Error>>;
}
