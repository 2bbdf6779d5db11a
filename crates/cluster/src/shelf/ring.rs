//! The last changes of one collection, oldest first: what a watcher that is a little behind still finds. Pure: time is an argument.
use crate::Entry;
use knarr_machinery::Revision;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What a superseded object is reckoned to take beside its bytes: metadata and view.
const ENTRY_OVERHEAD_BYTES: usize = 1536;
/// What a change itself takes.
const STEP_OVERHEAD_BYTES: usize = 96;
/// How long a change is kept where there is room: Kubernetes' own compaction interval, on which clients rely when they reconnect.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// One change: an object came (`was` is none), changed, or went (`now` is none).
#[derive(Debug, Clone)]
pub struct Seen {
    /// The revision of the change; of a deletion, the deletion's own.
    pub revision: Revision,
    pub now: Option<Arc<Entry>>,
    pub was: Option<Arc<Entry>>,
}

/// The watcher asks for changes that are no longer kept: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: the oldest kept is {oldest}")]
pub struct Expired {
    /// A watch after this revision is possible.
    pub oldest: Revision,
}

/// Where a watcher stands: the number of the next change it has not seen. Counts changes, not revisions, because a relist makes many
/// changes of one revision.
pub(super) type Place = u64;

pub(super) struct Ring {
    steps: VecDeque<(Instant, Seen)>,
    /// The place of the oldest change kept.
    first: Place,
    /// Every change after this revision is kept.
    floor: Revision,
    bytes: usize,
    limit_bytes: usize,
}

impl Ring {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { steps: VecDeque::new(), first: 0, floor: Revision(0), bytes: 0, limit_bytes }
    }

    /// Adds the newest change and drops what is too old or too much.
    pub(super) fn push(&mut self, seen: Seen, now: Instant) {
        self.bytes += cost(&seen);
        self.steps.push_back((now, seen));
        while let Some((at, oldest)) = self.steps.front() {
            if self.bytes <= self.limit_bytes && now.duration_since(*at) <= KEPT_FOR {
                break;
            }
            self.bytes -= cost(oldest);
            self.floor = oldest.revision;
            self.first += 1;
            self.steps.pop_front();
        }
    }

    /// Forgets everything: the changes up to `floor` are not known.
    pub(super) fn clear(&mut self, floor: Revision) {
        self.first += self.steps.len() as Place;
        self.steps.clear();
        self.bytes = 0;
        self.floor = self.floor.max(floor);
    }

    /// The place of the first change after a revision.
    pub(super) fn seek(&self, after: Revision) -> Result<Place, Expired> {
        if after < self.floor {
            return Err(Expired { oldest: self.floor });
        }
        Ok(self.first + self.steps.partition_point(|(_, seen)| seen.revision <= after) as Place)
    }

    /// Up to `limit` changes from a place on.
    pub(super) fn read(&self, from: Place, limit: usize) -> Result<Vec<Seen>, Expired> {
        if from < self.first {
            return Err(Expired { oldest: self.floor });
        }
        let skip = usize::try_from(from - self.first).expect("a place is within the ring, which is in memory");
        Ok(self.steps.iter().skip(skip).take(limit).map(|(_, seen)| seen.clone()).collect())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What keeping a change costs: the superseded object. The new one is on the shelf anyway, and becomes `was` of the next change.
fn cost(seen: &Seen) -> usize {
    STEP_OVERHEAD_BYTES + seen.was.as_ref().map_or(0, |was| was.bytes.len() + ENTRY_OVERHEAD_BYTES)
}
