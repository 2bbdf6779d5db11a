//! The processor time of a container: what its guests used, and the bucket that makes `limits.cpu` a share.
use crate::engine::TICK;
use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use wasmtime::UpdateDeadline;

/// What may be used at once after a pause: the period of the kernel's own bandwidth control.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Cpu {
    used_ns: AtomicU64,
    /// Thousandths of a core; 0: no limit.
    limit_millis: u32,
    born: Instant,
    /// Used beyond what the limit granted until now, at least minus one period's share.
    debt_ns: AtomicI64,
    /// Up to when that is accounted for, since `born`.
    settled_ns: AtomicU64,
}

impl Cpu {
    pub fn new(limit_millis: u32) -> Self {
        Self { used_ns: AtomicU64::new(0), limit_millis, born: Instant::now(), debt_ns: AtomicI64::new(0), settled_ns: AtomicU64::new(0) }
    }

    pub fn used_ns(&self) -> u64 {
        self.used_ns.load(Ordering::Relaxed)
    }

    /// Notes that a guest ran that long.
    pub fn charge(&self, ran: Duration) {
        let ns = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.used_ns.fetch_add(ns, Ordering::Relaxed);
        if self.limit_millis > 0 {
            self.debt_ns.fetch_add(i64::try_from(ns).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// What a guest does at a tick: lets others run, and pauses for as long as it is over its share.
    pub fn tick(&self) -> UpdateDeadline {
        match self.pause(self.born.elapsed()) {
            None => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
            Some(pause) => UpdateDeadline::YieldCustom(1, Box::pin(tokio::time::sleep(pause))),
        }
    }

    /// How long to pause at that time, since `born`. At most one period, after which it is asked again.
    fn pause(&self, now: Duration) -> Option<Duration> {
        if self.limit_millis == 0 {
            return None;
        }
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let passed_ns = now_ns.saturating_sub(self.settled_ns.fetch_max(now_ns, Ordering::Relaxed));
        let share = |ns: u64| i64::try_from(u128::from(ns) * u128::from(self.limit_millis) / 1_000).unwrap_or(i64::MAX);
        let least = -share(u64::try_from(PERIOD.as_nanos()).expect("a period is short"));
        let settle = |debt: i64| Some(debt.saturating_sub(share(passed_ns)).max(least));
        let before = self.debt_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, settle).unwrap_or(0);
        let debt = settle(before).unwrap_or(0);
        let pause_ns = u64::try_from(debt).ok().filter(|ns| *ns > 0)?.saturating_mul(1_000) / u64::from(self.limit_millis);
        Some(Duration::from_nanos(pause_ns).clamp(TICK, PERIOD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a guest that never waits for `for_ms`, and says how much of that it ran.
    fn share(limit_millis: u32, for_ms: u64) -> u64 {
        let cpu = Cpu::new(limit_millis);
        let (mut now, mut ran) = (Duration::ZERO, Duration::ZERO);
        while now < Duration::from_millis(for_ms) {
            now += TICK;
            ran += TICK;
            cpu.charge(TICK);
            while let Some(pause) = cpu.pause(now) {
                now += pause;
            }
        }
        u64::try_from(ran.as_millis()).unwrap() * 1_000 / for_ms
    }

    #[test]
    fn a_limit_is_a_share_of_a_core() {
        for limit in [50, 100, 250, 500, 900] {
            let got = share(limit, 10_000);
            assert!(got.abs_diff(limit.into()) <= 20, "{limit}: {got}");
        }
        assert_eq!(share(0, 1_000), 1_000, "no limit, no pause");
    }

    #[test]
    fn one_period_may_be_saved_up() {
        let cpu = Cpu::new(500);
        assert_eq!(cpu.pause(Duration::from_secs(60)), None);
        cpu.charge(Duration::from_millis(50));
        assert_eq!(cpu.pause(Duration::from_secs(60)), None);
        cpu.charge(Duration::from_millis(50));
        assert_eq!(cpu.pause(Duration::from_secs(60)), Some(PERIOD));
    }
}
