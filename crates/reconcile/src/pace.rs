//! How fast passes over one key may follow each other when each of them writes.
use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// The first pass goes at once. While one write follows another the gap between two passes doubles from `first` to `most`, and a key
/// that was quiet for two gaps begins anew: one change is through in microseconds, and a burst of a thousand becomes a dozen writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub first: Duration,
    pub most: Duration,
}

/// The keys that wrote lately. Bounded by what is swept out: whatever has been quiet.
pub(crate) struct Spells<K> {
    pace: Pace,
    spells: HashMap<K, Spell>,
}

#[derive(Clone, Copy)]
struct Spell {
    last: Instant,
    gap: Duration,
}

/// Sweeping costs a look at every key, so it happens only when this many are kept.
const SWEEP_AT: usize = 256;

impl Spell {
    fn is_over(&self, now: Instant) -> bool {
        now > self.last + 2 * self.gap
    }
}

impl<K: Hash + Eq> Spells<K> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, spells: HashMap::new() }
    }

    /// A pass over the key has written something.
    pub(crate) fn wrote(&mut self, key: K, now: Instant) {
        let Pace { first, most } = self.pace;
        let gap = self.spells.get(&key).filter(|spell| !spell.is_over(now)).map_or(first, |spell| (spell.gap * 2).min(most));
        self.spells.insert(key, Spell { last: now, gap });
        if self.spells.len() > SWEEP_AT {
            self.spells.retain(|_, spell| !spell.is_over(now));
        }
    }

    /// When the next pass over the key may begin, if not now.
    pub(crate) fn not_before(&self, key: &K, now: Instant) -> Option<Instant> {
        self.spells.get(key).map(|spell| spell.last + spell.gap).filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes whenever it may, at moments where there is something to write, and says when it wrote.
    fn writes(wanted_ms: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut spells = Spells::new(Pace { first: Duration::from_millis(10), most: Duration::from_millis(100) });
        let mut wrote: Vec<u64> = vec![];
        for want_ms in wanted_ms {
            if wrote.last().is_some_and(|last| last >= want_ms) {
                continue; // the last write waited long enough to carry this one too
            }
            let want = start + Duration::from_millis(*want_ms);
            let at = spells.not_before(&"web", want).unwrap_or(want);
            let ms = u64::try_from((at - start).as_millis()).unwrap();
            spells.wrote("web", at);
            wrote.push(ms);
        }
        wrote
    }

    #[test]
    fn the_first_goes_at_once_and_a_lone_one_too() {
        assert_eq!(writes(&[0, 1000, 2000]), [0, 1000, 2000]);
    }

    #[test]
    fn a_burst_becomes_a_few() {
        assert_eq!(writes(&(0..400).collect::<Vec<_>>()), [0, 10, 30, 70, 150, 250, 350, 450]);
    }

    #[test]
    fn two_near_each_other_wait_little() {
        assert_eq!(writes(&[0, 3, 500]), [0, 10, 500]);
    }
}
