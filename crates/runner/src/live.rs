//! One container in this runner: what it uses, how it ends. The task that runs it and the one that stops it share this.
use crate::{containers::Changes, cpu::Cpu, ending::Ending, log::Log, memory::Memory};
use knarr_runtime::{Container, Mount, Observed, State, Usage};
use std::{
    os::fd::OwnedFd,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Instant, SystemTime},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Requests of one container at once. More are told to come again.
pub const REQUESTS_MAX: u32 = 256;

pub struct Live {
    pub container: Container,
    /// An open folder for each mount, in order: the runner reaches no path outside its root.
    pub mounts: Vec<(Mount, OwnedFd)>,
    pub memory: Arc<Memory>,
    pub cpu: Cpu,
    pub log: Arc<Log>,
    pub requests: AtomicU64,
    pub in_flight: Arc<Semaphore>,
    /// Finish what you are at, and take nothing new.
    pub closing: CancellationToken,
    /// End now.
    pub killed: CancellationToken,
    state: Mutex<State>,
    changes: Arc<Changes>,
}

impl Live {
    pub fn new(container: Container, mounts: Vec<OwnedFd>, log: Arc<Log>, changes: Arc<Changes>) -> Arc<Self> {
        let mounts = container.mounts.iter().cloned().zip(mounts).collect();
        Arc::new(Self {
            mounts,
            memory: Memory::new(container.limits.memory_bytes),
            cpu: Cpu::new(container.limits.cpu_millis),
            log,
            requests: AtomicU64::new(0),
            in_flight: Arc::new(Semaphore::new(REQUESTS_MAX as usize)),
            closing: CancellationToken::new(),
            killed: CancellationToken::new(),
            state: Mutex::new(State::Running { started_at_ms: now_ms() }),
            changes,
            container,
        })
    }

    pub fn observed(&self) -> Observed {
        self.container.observed(self.state.lock().expect("a state's lock is never poisoned").clone())
    }

    pub fn is_running(&self) -> bool {
        matches!(*self.state.lock().expect("a state's lock is never poisoned"), State::Running { .. })
    }

    pub fn usage(&self) -> Usage {
        Usage { cpu_ns: self.cpu.used_ns(), memory_bytes: self.memory.used_bytes(), requests: self.requests.load(Ordering::Relaxed) }
    }

    /// Ends it, unless it has ended: the first ending is the one that counts.
    pub fn end(&self, ending: Ending) {
        {
            let mut state = self.state.lock().expect("a state's lock is never poisoned");
            let State::Running { started_at_ms } = *state else { return };
            let Ending { code, reason, message } = ending;
            tracing::info!(container = %self.container.id(), pod = %self.container.pod, code, reason, "container ended");
            *state = State::Exited { code, reason: reason.to_owned(), message, started_at_ms, finished_at_ms: now_ms() };
        }
        self.closing.cancel();
        self.changes.note(self.container.id());
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Polls a guest and charges its container for the time that takes.
pub fn charged<F: Future + ?Sized>(live: &Live, guest: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let began = Instant::now();
    let polled = guest.poll(context);
    live.cpu.charge(began.elapsed());
    polled
}
