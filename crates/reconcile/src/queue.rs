//! Keys that want a pass: each once, one pass over a key at a time, failures back off, and a later look can be asked for.
use crate::pace::{Pace, Spells};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// After the first failure; doubles with each further one. Short, because most failures are conflicts that the next look resolves.
const FIRST_RETRY: Duration = Duration::from_millis(5);
/// The longest a failing key waits: what was wrong may be right by now, and one write in half a minute hurts nobody.
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A change brings a failing key forward to this, and not to at once: the change may be what the failing pass itself wrote down.
const RETRY_ON_CHANGE: Duration = Duration::from_millis(250);

/// Holds each key at most once, so its length is bounded by the number of objects there are.
pub struct Queue<K> {
    state: Mutex<State<K>>,
    /// One permit for one waiting worker; who takes a key passes the permit on while there are more.
    wake: Notify,
}

struct State<K> {
    ready: VecDeque<K>,
    /// What stands in `ready`, or changed while it was being worked on.
    wanted: HashSet<K>,
    running: HashSet<K>,
    later: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
    spells: Option<Spells<K>>,
}

/// One pass over a key. A pass that is dropped without a word has failed: its worker panicked or was stopped.
pub struct Pass<'a, K: Clone + Ord + Hash> {
    queue: &'a Queue<K>,
    pub key: K,
    outcome: Outcome,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do, and nothing left of the object if there is no later look.
    Quiet {
        again_in: Option<Duration>,
    },
    /// Something was written.
    Wrote {
        again_in: Option<Duration>,
    },
    Failed,
}

impl<K: Clone + Ord + Hash> Queue<K> {
    pub fn new(pace: Option<Pace>) -> Self {
        let state = State {
            ready: VecDeque::new(),
            wanted: HashSet::new(),
            running: HashSet::new(),
            later: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            spells: pace.map(Spells::new),
        };
        Self { state: Mutex::new(state), wake: Notify::new() }
    }

    /// Something about the key changed.
    pub fn add(&self, key: K) {
        self.add_all([key]);
    }

    pub fn add_all(&self, keys: impl IntoIterator<Item = K>) {
        let now = Instant::now();
        let mut state = self.lock();
        for key in keys {
            state.want(key, now);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Keys that want a pass now.
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    /// Waits for the next key. Cancel-safe: a key is taken only when it is returned.
    pub async fn next(&self) -> Pass<'_, K> {
        loop {
            let until = match self.take(Instant::now()) {
                Ok(key) => return Pass { queue: self, key, outcome: Outcome::Failed },
                Err(until) => until,
            };
            match until {
                Some(until) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// A key, or when the next one is due.
    fn take(&self, now: Instant) -> Result<K, Option<Instant>> {
        let mut state = self.lock();
        state.promote(now);
        let Some(key) = state.ready.pop_front() else {
            return Err(state.later.first().map(|(at, _)| *at));
        };
        state.wanted.remove(&key);
        state.running.insert(key.clone());
        if !state.ready.is_empty() || !state.later.is_empty() {
            self.wake.notify_one();
        }
        Ok(key)
    }

    fn finish(&self, key: &K, outcome: Outcome) {
        let now = Instant::now();
        let mut state = self.lock();
        state.running.remove(key);
        let again_in = match outcome {
            Outcome::Failed => Some(state.fail(key)),
            Outcome::Wrote { again_in } => {
                if let Some(spells) = &mut state.spells {
                    spells.wrote(key.clone(), now);
                }
                state.failures.remove(key);
                again_in
            }
            Outcome::Quiet { again_in } => {
                state.failures.remove(key);
                again_in
            }
        };
        let changed_meanwhile = state.wanted.remove(key);
        if let Some(wait) = again_in {
            state.delay(key.clone(), now + wait);
        }
        if changed_meanwhile {
            state.want(key.clone(), now);
        }
        drop(state);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord + Hash> State<K> {
    fn want(&mut self, key: K, now: Instant) {
        if self.running.contains(&key) {
            self.wanted.insert(key);
        } else if self.wanted.contains(&key) {
        } else if let Some(failures) = self.failures.get(&key) {
            let wait = retry_after(*failures).min(RETRY_ON_CHANGE);
            self.delay(key, now + wait);
        } else if let Some(at) = self.spells.as_ref().and_then(|spells| spells.not_before(&key, now)) {
            self.delay(key, at);
        } else {
            self.wanted.insert(key.clone());
            self.ready.push_back(key);
        }
    }

    /// Of two moments the earlier one counts.
    fn delay(&mut self, key: K, at: Instant) {
        if self.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        if let Some(due) = self.due.insert(key.clone(), at) {
            self.later.remove(&(due, key.clone()));
        }
        self.later.insert((at, key));
    }

    /// Moves what is due among the ready.
    fn promote(&mut self, now: Instant) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            let (_, key) = self.later.pop_first().expect("there is a first");
            self.due.remove(&key);
            if self.running.contains(&key) {
                self.wanted.insert(key);
            } else if self.wanted.insert(key.clone()) {
                self.ready.push_back(key);
            }
        }
    }

    /// How long the key waits after one more failure.
    fn fail(&mut self, key: &K) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures += 1;
        retry_after(*failures)
    }
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LAST_RETRY)
}

impl<K: Clone + Ord + Hash> Pass<'_, K> {
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl<K: Clone + Ord + Hash> Drop for Pass<'_, K> {
    fn drop(&mut self) {
        self.queue.finish(&self.key, self.outcome);
    }
}

#[cfg(test)]
mod tests;
