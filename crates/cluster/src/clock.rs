//! The wall clock as an argument, so that a test can hold it.
use jiff::Timestamp;
use std::sync::Arc;

/// Where loops take the time from.
#[derive(Clone, Default)]
pub enum Clock {
    #[default]
    System,
    /// Starts at `start` and moves only as tokio's time does, which tests pause and advance.
    Paused(Arc<Paused>),
}

pub struct Paused {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl Clock {
    /// A clock that shows `start` now and follows tokio's time from here on.
    pub fn paused(start: Timestamp) -> Self {
        Self::Paused(Arc::new(Paused { start, since: tokio::time::Instant::now() }))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Paused(paused) => paused.start.checked_add(paused.since.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }
}
