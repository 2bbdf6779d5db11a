//! One task that keeps all the times at which something is due: a timer is a line in a map, not a task.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{sync::Notify, time::Instant};

/// What rings.
#[derive(Debug, Clone, PartialEq)]
pub enum Ring {
    /// A pod looks again.
    Pod(Arc<str>),
    Probe {
        uid: Arc<str>,
        id: u64,
    },
}

#[derive(Default)]
pub struct Timers {
    /// At most one line a pod and one a probe, because each is set anew only when it rings, or earlier than before.
    lines: Mutex<BTreeMap<(Instant, u64), Ring>>,
    changed: Notify,
    count: std::sync::atomic::AtomicU64,
}

impl Timers {
    pub fn at(&self, at: Instant, ring: Ring) {
        let count = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut lines = self.lines.lock().expect("no panic while held");
        let is_first = lines.first_key_value().is_none_or(|((first, _), _)| at < *first);
        lines.insert((at, count), ring);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// What is due next, once it is. One caller at a time; cancel-safe.
    pub async fn next(&self) -> Ring {
        loop {
            let first = self.lines.lock().expect("no panic while held").first_key_value().map(|((at, _), _)| *at);
            let Some(first) = first else {
                self.changed.notified().await;
                continue;
            };
            if first <= Instant::now()
                && let Some((_, ring)) = self.lines.lock().expect("no panic while held").pop_first()
            {
                return ring;
            }
            tokio::select! {
                () = tokio::time::sleep_until(first) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn rings_in_the_order_of_times_whatever_was_set_first() {
        let (timers, start) = (Timers::default(), Instant::now());
        for (s, name) in [(30, "late"), (10, "early"), (20, "middle")] {
            timers.at(start + Duration::from_secs(s), Ring::Pod(name.into()));
        }
        for (s, name) in [(10, "early"), (20, "middle"), (30, "late")] {
            assert_eq!(timers.next().await, Ring::Pod(name.into()));
            assert_eq!(start.elapsed().as_secs(), s);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_time_overtakes_the_one_that_is_waited_for() {
        let (timers, start) = (Arc::new(Timers::default()), Instant::now());
        timers.at(start + Duration::from_secs(60), Ring::Pod("late".into()));
        let waiting = tokio::spawn({
            let timers = Arc::clone(&timers);
            async move { timers.next().await }
        });
        tokio::task::yield_now().await;
        timers.at(start + Duration::from_secs(5), Ring::Pod("early".into()));
        assert_eq!(waiting.await.unwrap(), Ring::Pod("early".into()));
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}
