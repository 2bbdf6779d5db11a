//! How long to wait before another try: longer each time, up to a bound. Pure.
use std::time::Duration;

/// Short, because a server that restarts is back within a second.
const FIRST: Duration = Duration::from_millis(100);
/// Long enough that a thousand agents do not keep a struggling server down, short enough that a node comes back before it is given up.
const LONGEST: Duration = Duration::from_secs(10);

/// Doubles from try to try. The spread keeps agents that lost the same server from coming back all at once.
pub(super) struct Backoff {
    next: Duration,
    /// 0 to 255: which part of up to half the wait this one adds.
    spread: u8,
}

impl Backoff {
    pub(super) fn new(spread: u8) -> Self {
        Self { next: FIRST, spread }
    }

    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait + wait / 2 * u32::from(self.spread) / 256
    }

    /// Something worked: the next failure is a new one.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_its_bound_and_begins_again_after_a_success() {
        let mut backoff = Backoff::new(0);
        let waits: Vec<_> = (0..9).map(|_| backoff.wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.wait(), FIRST);
    }

    #[test]
    fn the_spread_adds_less_than_half() {
        let mut backoff = Backoff::new(255);
        assert_eq!(backoff.wait().as_micros(), 149_804);
    }
}
