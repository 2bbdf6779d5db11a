//! Waiting longer after each failure, as Kubernetes does: 10 s, doubled up to 5 min, forgotten after 10 min without one.
use jiff::{SignedDuration, Timestamp};

const FIRST_S: u16 = 10;
const LONGEST_S: u16 = 300;
/// Who ran this long starts afresh: twice the longest wait.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(600);

/// The wait that is due after the next failure. The first failure costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BackOff {
    /// 0: no failure yet, or none that counts.
    wait_s: u16,
    /// When the last wait was set.
    since: Option<Timestamp>,
}

impl BackOff {
    /// From when on somebody who failed at `failed_at` may try again.
    pub fn until(self, failed_at: Timestamp) -> Timestamp {
        if self.is_forgotten(failed_at) { failed_at } else { failed_at + SignedDuration::from_secs(self.wait_s.into()) }
    }

    /// A try begins: the next failure waits longer.
    pub fn next(self, failed_at: Timestamp, now: Timestamp) -> Self {
        let wait_s = if self.is_forgotten(failed_at) || self.wait_s == 0 { FIRST_S } else { (self.wait_s * 2).min(LONGEST_S) };
        Self { wait_s, since: Some(now) }
    }

    /// A try failed for which somebody waits from the first time on: pulls.
    pub fn fail(self, now: Timestamp) -> (Self, Timestamp) {
        let next = self.next(now, now);
        (next, next.until(now))
    }

    /// Seconds, for messages.
    pub fn wait_s(self) -> u16 {
        self.wait_s
    }

    fn is_forgotten(self, failed_at: Timestamp) -> bool {
        self.since.is_none_or(|since| failed_at.duration_since(since) > FORGOTTEN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    /// The waits of somebody who runs `ran_s` each time and then fails.
    fn waits(ran_s: &[i64]) -> Vec<i64> {
        let (mut back_off, mut now) = (BackOff::default(), at(0));
        let one = |ran: &i64| {
            let failed_at = now + SignedDuration::from_secs(*ran);
            now = back_off.until(failed_at);
            back_off = back_off.next(failed_at, now);
            now.duration_since(failed_at).as_secs()
        };
        ran_s.iter().map(one).collect()
    }

    #[test]
    fn restarts_at_once_and_then_waits_longer_and_longer() {
        assert_eq!(waits(&[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn forgets_after_ten_minutes_of_peace() {
        assert_eq!(waits(&[1, 1, 1, 601, 1]), [0, 10, 20, 0, 10]);
    }

    #[test]
    fn a_pull_waits_from_the_first_failure_on() {
        let (first, until) = BackOff::default().fail(at(0));
        assert_eq!((until, first.fail(at(10)).1), (at(10), at(30)));
    }
}
