//! Runs probes: a timer for each, no task. A probe tells its pod only when its verdict changes, so that a thousand probes a second are
//! not a thousand passes of workers.
mod ask;
#[cfg(test)]
mod tests;

pub use ask::ask;

use crate::{
    probe::{Due, Kind, Outcome, Streak, Verdict},
    timers::{Ring, Timers},
};
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{sync::Semaphore, time::Instant};

/// Probes under way at once: each holds a socket.
const AT_ONCE: usize = 256;

pub struct Prober {
    all: Mutex<State>,
    slots: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    by_pod: HashMap<Arc<str>, Vec<Probing>>,
    next_id: u64,
}

struct Probing {
    id: u64,
    due: Arc<Due>,
    streak: Streak,
}

/// One probe at the moment when it is to be made.
pub struct Turn {
    pub uid: Arc<str>,
    pub due: Arc<Due>,
    pub id: u64,
}

impl Default for Prober {
    fn default() -> Self {
        Self { all: Mutex::default(), slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Prober {
    /// From now on a pod is probed so, and no other way. `is_ready` says which containers count as ready already.
    pub fn keep(&self, uid: &Arc<str>, wanted: Vec<Due>, is_ready: impl Fn(usize) -> bool, timers: &Timers, now: Timestamp) {
        let mut all = self.all.lock().expect("no panic while held");
        let State { by_pod, next_id } = &mut *all;
        if wanted.is_empty() {
            by_pod.remove(uid);
            return;
        }
        let probing = by_pod.entry(Arc::clone(uid)).or_default();
        probing.retain(|one| wanted.contains(&one.due));
        for due in wanted {
            if probing.iter().any(|one| *one.due == due) {
                continue;
            }
            let id = *next_id;
            *next_id += 1;
            let wait = due.first_at.duration_since(now).try_into().unwrap_or_default();
            timers.at(Instant::now() + wait, Ring::Probe { uid: Arc::clone(uid), id });
            let told = if due.kind == Kind::Readiness && is_ready(due.container) { Verdict::Passed } else { Verdict::Failed };
            let streak = if due.kind == Kind::Readiness { Streak::told(told) } else { Streak::default() };
            probing.push(Probing { id, due: Arc::new(due), streak });
        }
    }

    /// The probe whose timer rang, if it is still wanted.
    pub fn turn(&self, uid: &Arc<str>, id: u64) -> Option<Turn> {
        let all = self.all.lock().expect("no panic while held");
        let one = all.by_pod.get(uid)?.iter().find(|one| one.id == id)?;
        Some(Turn { uid: Arc::clone(uid), due: Arc::clone(&one.due), id })
    }

    pub fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }

    /// Counts what a probe said and sets the timer for the next one. Gives the verdict where it changed.
    pub fn answer(&self, turn: &Turn, outcome: &Outcome, began: Instant, timers: &Timers) -> Option<Verdict> {
        let mut all = self.all.lock().expect("no panic while held");
        let one = all.by_pod.get_mut(&turn.uid)?.iter_mut().find(|one| one.id == turn.id)?;
        timers.at(began + turn.due.period, Ring::Probe { uid: Arc::clone(&turn.uid), id: turn.id });
        one.streak.count(outcome, &turn.due)
    }
}
