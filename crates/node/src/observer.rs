//! Looks at the runtime, one look at a time: when something may have changed there, and when somebody needs to know.
use crate::memory::Look;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// How long anybody waits for a look: the runtime answers from memory, so this is for one that is stuck.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts looks. Each has a number, given when it begins; what is told of it comes with that number.
pub struct Observer {
    begun: AtomicU64,
    done: watch::Sender<Look>,
    asked: Notify,
}

impl Default for Observer {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), done: watch::Sender::new(0), asked: Notify::new() }
    }
}

impl Observer {
    /// The newest look that has begun: it may not show what is done only now.
    pub fn begun(&self) -> Look {
        self.begun.load(Ordering::SeqCst)
    }

    pub fn begin(&self) -> Look {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A look is over and everybody was told what it showed.
    pub fn end(&self, look: Look) {
        self.done.send_replace(look);
    }

    /// Somebody asks for a look.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Waits for a look that begins after now.
    pub async fn fresh(&self) {
        let wanted = self.begun() + 1;
        let mut done = self.done.subscribe();
        self.asked.notify_one();
        let newest = tokio::time::timeout(LONGEST, done.wait_for(|look| *look >= wanted)).await;
        if newest.is_err() {
            tracing::warn!("the runtime does not answer");
        }
    }
}
