//! Pods that want a place: the important first, then those that came first; what does not fit waits for room or for time to pass.
use knarr_cluster::views::Pod;
use knarr_machinery::Key;
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A pod that found no place is not tried again sooner, whatever changes; doubles with each attempt. Shorter than upstream's second: room
/// mostly comes because a node has just joined, and then nobody wants to wait.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Upstream's longest.
const LAST_BACKOFF: Duration = Duration::from_secs(10);
/// A parked pod is tried again after this time even if nothing seemed to concern it: a net under what counts as a relevant change.
const PARKED_AT_MOST: Duration = Duration::from_secs(300);

/// Bounded by the number of pods without a node.
#[derive(Default)]
pub struct Queue {
    pods: HashMap<Key, Pending>,
    /// By priority, then by arrival.
    active: BTreeSet<(Reverse<i32>, u64, Key)>,
    due: BTreeSet<(Instant, Key)>,
    arrivals: u64,
}

struct Pending {
    pod: Arc<Pod>,
    arrival: u64,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    /// Taken: being decided or bound.
    Taken,
    /// Waits for a change, and for `not_before` to pass.
    Parked {
        not_before: Instant,
        due: Instant,
    },
    /// Waits for time to pass.
    Delayed {
        due: Instant,
    },
}

impl Queue {
    /// A pod that wants a place, new or changed. A change of its spec makes it worth another try, a change of its status does not.
    pub fn set(&mut self, key: &Key, pod: Arc<Pod>) {
        if let Some(pending) = self.pods.get_mut(key).filter(|pending| pending.pod.metadata.uid == pod.metadata.uid) {
            let is_changed = pending.pod.metadata.generation != pod.metadata.generation;
            pending.pod = pod;
            if is_changed && pending.state != State::Taken {
                self.activate(key);
            }
            return;
        }
        self.remove(key);
        self.arrivals += 1;
        self.pods.insert(key.clone(), Pending { pod, arrival: self.arrivals, attempts: 0, state: State::Taken });
        self.activate(key);
    }

    /// A pod that wants no place any more.
    pub fn remove(&mut self, key: &Key) {
        if let Some(pending) = self.pods.remove(key) {
            self.unlist(key, &pending);
        }
    }

    /// The next pod to decide on. It stays known, so that it can come back.
    pub fn pop(&mut self) -> Option<(Key, Arc<Pod>)> {
        let (_, _, key) = self.active.pop_first()?;
        let pending = self.pods.get_mut(&key).expect("what is active is known");
        pending.state = State::Taken;
        Some((key, Arc::clone(&pending.pod)))
    }

    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// No node would do: it waits until something changes.
    pub fn park(&mut self, key: &Key, now: Instant) {
        self.put_aside(key, |wait| State::Parked { not_before: now + wait, due: now + PARKED_AT_MOST });
    }

    /// Something went wrong that has nothing to do with room: it waits a moment.
    pub fn delay(&mut self, key: &Key, now: Instant) {
        self.put_aside(key, |wait| State::Delayed { due: now + wait });
    }

    /// There may be room now for what is parked.
    pub fn wake(&mut self, now: Instant) {
        let parked = |pending: &Pending| match pending.state {
            State::Parked { not_before, .. } => Some(not_before),
            _ => None,
        };
        let parked: Vec<_> = self.pods.iter().filter_map(|(key, pending)| Some((key.clone(), parked(pending)?))).collect();
        for (key, not_before) in parked {
            if not_before <= now { self.activate(&key) } else { self.list(&key, State::Delayed { due: not_before }) }
        }
    }

    /// What has waited long enough is active again.
    pub fn promote(&mut self, now: Instant) {
        while let Some((due, key)) = self.due.first().cloned()
            && due <= now
        {
            self.activate(&key);
        }
    }

    /// What is known and stands not in a new list: those are gone.
    pub fn not_in(&self, listed: &std::collections::HashSet<&Key>) -> Vec<Key> {
        self.pods.keys().filter(|key| !listed.contains(key)).cloned().collect()
    }

    /// When `promote` has something to do again.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn put_aside(&mut self, key: &Key, state: impl Fn(Duration) -> State) {
        let Some(pending) = self.pods.get_mut(key) else { return };
        let wait = FIRST_BACKOFF.saturating_mul(1 << pending.attempts.min(16)).min(LAST_BACKOFF);
        pending.attempts += 1;
        self.list(key, state(wait));
    }

    fn activate(&mut self, key: &Key) {
        self.list(key, State::Active);
    }

    /// Moves a pod to where its new state says.
    fn list(&mut self, key: &Key, state: State) {
        let Some(mut pending) = self.pods.remove(key) else { return };
        self.unlist(key, &pending);
        pending.state = state;
        match state {
            State::Active => drop(self.active.insert((Reverse(pending.pod.spec.priority), pending.arrival, key.clone()))),
            State::Parked { due, .. } | State::Delayed { due } => drop(self.due.insert((due, key.clone()))),
            State::Taken => {}
        }
        self.pods.insert(key.clone(), pending);
    }

    fn unlist(&mut self, key: &Key, pending: &Pending) {
        match pending.state {
            State::Active => drop(self.active.remove(&(Reverse(pending.pod.spec.priority), pending.arrival, key.clone()))),
            State::Parked { due, .. } | State::Delayed { due } => drop(self.due.remove(&(due, key.clone()))),
            State::Taken => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    /// A pod from `name` or `name=PRIORITY`.
    fn add(queue: &mut Queue, pod: &str) {
        let (name, priority) = pod.split_once('=').unwrap_or((pod, "0"));
        let pod =
            from_value(json!({"metadata": {"name": name, "uid": name}, "spec": {"priority": priority.parse::<i32>().unwrap()}})).unwrap();
        queue.set(&Key::new("one", name), Arc::new(pod));
    }

    fn popped(queue: &mut Queue) -> String {
        std::iter::from_fn(|| queue.pop()).map(|(key, _)| key.name.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn queue(pods: &[&str]) -> Queue {
        let mut queue = Queue::default();
        pods.iter().for_each(|pod| add(&mut queue, pod));
        queue
    }

    #[test]
    fn the_important_first_then_the_earlier() {
        assert_eq!(popped(&mut queue(&["z", "a", "h=5", "l=-1"])), "h z a l");
    }

    #[test]
    fn what_does_not_fit_waits_for_a_change_and_for_its_time() {
        let (mut queue, now) = (queue(&["a", "b"]), Instant::now());
        assert_eq!(popped(&mut queue), "a b");
        queue.park(&Key::new("one", "a"), now);
        queue.delay(&Key::new("one", "b"), now);
        queue.promote(now + FIRST_BACKOFF);
        assert_eq!(popped(&mut queue), "b", "time alone brings no room");
        queue.wake(now);
        assert_eq!(popped(&mut queue), "", "a change alone is too early");
        queue.promote(now + FIRST_BACKOFF);
        assert_eq!(popped(&mut queue), "a");
        queue.park(&Key::new("one", "a"), now);
        queue.wake(now + 2 * FIRST_BACKOFF);
        assert_eq!(popped(&mut queue), "a");
    }

    #[test]
    fn a_parked_pod_is_tried_again_in_the_end() {
        let (mut queue, now) = (queue(&["a"]), Instant::now());
        popped(&mut queue);
        queue.park(&Key::new("one", "a"), now);
        assert_eq!(queue.next_due(), Some(now + PARKED_AT_MOST));
        queue.promote(now + PARKED_AT_MOST);
        assert_eq!(popped(&mut queue), "a");
    }

    #[test]
    fn a_status_is_no_reason_to_try_again_and_a_namesake_is() {
        let mut queue = queue(&["a"]);
        popped(&mut queue);
        add(&mut queue, "a");
        assert!(!queue.has_active());
        let other = from_value(json!({"metadata": {"name": "a", "uid": "other"}})).unwrap();
        queue.set(&Key::new("one", "a"), Arc::new(other));
        assert_eq!(popped(&mut queue), "a");
    }

    #[test]
    fn what_is_gone_is_not_asked_for() {
        let mut queue = queue(&["a", "b"]);
        queue.remove(&Key::new("one", "a"));
        assert_eq!(popped(&mut queue), "b");
        queue.remove(&Key::new("one", "b"));
        queue.park(&Key::new("one", "b"), Instant::now());
        assert_eq!(queue.next_due(), None);
    }
}
