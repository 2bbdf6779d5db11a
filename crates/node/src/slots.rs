//! The pods of this node: a small record each, and a worker only while there is something to do for it.
use crate::{
    memory::{Look, Memory},
    probe::{Kind, Verdict},
};
use jiff::Timestamp;
use knarr_cluster::{Entry, Wanted};
use knarr_runtime::Observed;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio_util::sync::CancellationToken;

/// News for a pod, kept until its worker reads it.
#[derive(Debug)]
pub enum Report {
    Seen {
        look: Look,
        containers: Vec<Observed>,
    },
    Probed {
        container: usize,
        attempt: u32,
        kind: Kind,
        verdict: Verdict,
    },
    /// Something that it refers to has changed.
    ConfigChanged,
}

struct Slot {
    entry: Arc<Entry>,
    is_gone: bool,
    /// None while the worker has it, and before its first turn.
    memory: Option<Box<Memory>>,
    /// What the runtime had of it when it was first seen.
    found: Vec<Observed>,
    found_at: Look,
    work: Work,
    /// Bounded: looks replace each other, and verdicts are few because only changes are told.
    inbox: Vec<Report>,
    armed: Option<Timestamp>,
    wanted: Vec<Wanted>,
}

enum Work {
    Idle,
    Busy { again: bool, interrupt: CancellationToken },
}

/// What a worker works with for one turn.
pub struct Turn {
    pub uid: Arc<str>,
    pub entry: Arc<Entry>,
    pub is_gone: bool,
    /// None: this is the pod's first turn.
    pub memory: Option<Box<Memory>>,
    pub found: Vec<Observed>,
    pub found_at: Look,
    pub reports: Vec<Report>,
    /// Cancelled when what takes long should be left: the pod is to end, or to end sooner.
    pub interrupt: CancellationToken,
}

/// Whether a worker has to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Wake {
    Start,
    Running,
}

#[derive(Default)]
pub struct Slots(Mutex<HashMap<Arc<str>, Slot>>);

impl Slots {
    /// The pod is, or is now, so. `found` and `look`: what the runtime has of it, should it be new here.
    pub fn put(&self, entry: &Arc<Entry>, found: Vec<Observed>, look: Look) -> (Arc<str>, Wake) {
        let uid: Arc<str> = Arc::from(&*entry.meta.uid);
        let mut slots = self.lock();
        let slot = slots.entry(Arc::clone(&uid)).or_insert_with(|| Slot::new(entry, found, look));
        let ends_sooner = entry.meta.deletion_timestamp != slot.entry.meta.deletion_timestamp;
        slot.entry = Arc::clone(entry);
        let wake = slot.wake();
        if ends_sooner {
            slot.interrupt();
        }
        (uid, wake)
    }

    /// The object is gone from the API.
    pub fn gone(&self, uid: &str) -> Option<Wake> {
        let mut slots = self.lock();
        let slot = slots.get_mut(uid)?;
        slot.is_gone = true;
        let wake = slot.wake();
        slot.interrupt();
        Some(wake)
    }

    /// A timer that was armed has rung.
    pub fn rang(&self, uid: &str) -> Option<Wake> {
        let mut slots = self.lock();
        let slot = slots.get_mut(uid)?;
        slot.armed = None;
        Some(slot.wake())
    }

    /// Puts news into a pod's inbox.
    pub fn tell(&self, uid: &str, report: Report) -> Option<Wake> {
        let mut slots = self.lock();
        let slot = slots.get_mut(uid)?;
        if let Report::Seen { look, .. } = &report {
            slot.inbox.retain(|old| !matches!(old, Report::Seen { look: older, .. } if older <= look));
        }
        slot.inbox.push(report);
        Some(slot.wake())
    }

    /// Hands out what a look at the runtime showed to those pods for which it is news. What belongs to no pod here is given back.
    pub fn seen(&self, look: Look, mut all: HashMap<String, Vec<Observed>>) -> (Vec<Arc<str>>, HashMap<String, Vec<Observed>>) {
        let mut to_start = Vec::new();
        for (uid, slot) in self.lock().iter_mut() {
            let containers = all.remove(&**uid).unwrap_or_default();
            if let Some(memory) = &slot.memory
                && !memory.would_see(uid, &containers, look)
            {
                continue;
            }
            slot.inbox.retain(|old| !matches!(old, Report::Seen { .. }));
            slot.inbox.push(Report::Seen { look, containers });
            if slot.wake() == Wake::Start {
                to_start.push(Arc::clone(uid));
            }
        }
        (to_start, all)
    }

    /// A worker begins a turn.
    pub fn begin(&self, uid: &Arc<str>) -> Option<Turn> {
        let mut slots = self.lock();
        let slot = slots.get_mut(uid)?;
        let interrupt = CancellationToken::new();
        slot.work = Work::Busy { again: false, interrupt: interrupt.clone() };
        Some(Turn {
            uid: Arc::clone(uid),
            entry: Arc::clone(&slot.entry),
            is_gone: slot.is_gone,
            memory: slot.memory.take(),
            found: std::mem::take(&mut slot.found),
            found_at: slot.found_at,
            reports: std::mem::take(&mut slot.inbox),
            interrupt,
        })
    }

    /// A worker in its turn asks what is new.
    pub fn renew(&self, turn: &mut Turn) {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(&turn.uid) else { return };
        turn.entry = Arc::clone(&slot.entry);
        turn.is_gone = slot.is_gone;
        turn.reports.append(&mut slot.inbox);
        // What was said meanwhile (`again`) stays said: the turn may be about to end.
        if let Work::Busy { interrupt, .. } = &mut slot.work
            && interrupt.is_cancelled()
        {
            *interrupt = CancellationToken::new();
            turn.interrupt = interrupt.clone();
        }
    }

    /// A worker's turn is over. `Start`: something happened meanwhile, and it goes on.
    pub fn end(&self, uid: &str, memory: Box<Memory>) -> Wake {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(uid) else { return Wake::Running };
        slot.memory = Some(memory);
        let again = matches!(slot.work, Work::Busy { again: true, .. }) || !slot.inbox.is_empty();
        slot.work = Work::Idle;
        if again { slot.wake() } else { Wake::Running }
    }

    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Notes when the pod looks again. True: a timer has to be set.
    pub fn arm(&self, uid: &str, at: Timestamp) -> bool {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(uid) else { return false };
        let is_earlier = slot.armed.is_none_or(|armed| at < armed);
        if is_earlier {
            slot.armed = Some(at);
        }
        is_earlier
    }

    /// Keeps wishes alive for as long as the pod is here.
    pub fn want(&self, uid: &str, wanted: Vec<Wanted>) {
        if let Some(slot) = self.lock().get_mut(uid) {
            slot.wanted = wanted;
        }
    }

    pub fn has_wishes(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|slot| !slot.wanted.is_empty())
    }

    pub fn entry(&self, uid: &str) -> Option<Arc<Entry>> {
        self.lock().get(uid).map(|slot| Arc::clone(&slot.entry))
    }

    /// Whether this attempt of a container may still write. While a worker has the pod it may.
    pub fn is_running(&self, uid: &str, container: &str, attempt: u32) -> bool {
        let slots = self.lock();
        let Some(slot) = slots.get(uid) else { return false };
        let Some(memory) = &slot.memory else { return true };
        memory.containers.iter().any(|known| *known.name == *container && known.attempt == attempt && known.is_running())
    }

    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().values().map(|slot| Arc::clone(&slot.entry)).collect()
    }

    /// Pods with a container that runs, and containers that run; those of pods whose worker is at work are counted when it is done.
    pub fn running(&self) -> (usize, usize) {
        let slots = self.lock();
        let counts = slots.values().filter_map(|slot| slot.memory.as_ref());
        let counts = counts.map(|memory| memory.containers.iter().filter(|known| known.is_running()).count());
        counts.filter(|count| *count > 0).fold((0, 0), |(pods, containers), count| (pods + 1, containers + count))
    }

    /// A few lines at a time, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Slot>> {
        self.0.lock().expect("no panic while held")
    }
}

impl Slot {
    fn new(entry: &Arc<Entry>, found: Vec<Observed>, found_at: Look) -> Self {
        Self {
            entry: Arc::clone(entry),
            is_gone: false,
            memory: None,
            found,
            found_at,
            work: Work::Idle,
            inbox: vec![],
            armed: None,
            wanted: vec![],
        }
    }

    fn wake(&mut self) -> Wake {
        match &mut self.work {
            Work::Idle => {
                self.work = Work::Busy { again: false, interrupt: CancellationToken::new() };
                Wake::Start
            }
            Work::Busy { again, .. } => {
                *again = true;
                Wake::Running
            }
        }
    }

    fn interrupt(&self) {
        if let Work::Busy { interrupt, .. } = &self.work {
            interrupt.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_machinery::Revision;
    use serde_json::json;

    fn entry(revision: u64, is_deleting: bool) -> Arc<Entry> {
        let deleted_at = is_deleting.then_some("2026-11-21T12:00:00Z");
        let object = json!({"metadata": {"name": "a", "namespace": "shop", "uid": "u", "deletionTimestamp": deleted_at}});
        Arc::new(Entry::read(Revision(revision), object.to_string().into()).unwrap())
    }

    #[test]
    fn a_deletion_interrupts_a_turn_and_is_not_slept_through() {
        let slots = Slots::default();
        let (uid, wake) = slots.put(&entry(1, false), vec![], 0);
        assert_eq!(wake, Wake::Start);
        let mut turn = slots.begin(&uid).unwrap();
        assert_eq!(slots.put(&entry(2, true), vec![], 0).1, Wake::Running);
        assert!(turn.interrupt.is_cancelled());
        // The worker looks once more while it writes its last status, and then ends its turn.
        slots.renew(&mut turn);
        assert!(turn.entry.meta.is_deleting() && !turn.interrupt.is_cancelled());
        assert_eq!(slots.end(&uid, Box::default()), Wake::Start);
    }

    #[test]
    fn a_pod_has_one_worker_however_often_it_is_woken() {
        let slots = Slots::default();
        let (uid, _) = slots.put(&entry(1, false), vec![], 0);
        assert_eq!(slots.put(&entry(2, false), vec![], 0).1, Wake::Running, "one is on its way");
        slots.begin(&uid).unwrap();
        assert_eq!(slots.end(&uid, Box::default()), Wake::Running, "nothing happened meanwhile");
        assert_eq!(slots.rang(&uid), Some(Wake::Start));
        assert_eq!(slots.tell(&uid, Report::ConfigChanged), Some(Wake::Running));
    }
}
