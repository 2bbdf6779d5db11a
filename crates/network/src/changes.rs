//! Tells a loop that something on the shelf changed, never what.
use knarr_cluster::Shelf;
use knarr_machinery::GroupResource;
use std::sync::Arc;
use tokio::{sync::Notify, task::JoinSet};

/// Watches collections as long as it lives.
pub struct Changes {
    wake: Arc<Notify>,
    _watchers: JoinSet<()>,
}

impl Changes {
    /// From now on: what is on the shelf already is for the caller to look at.
    pub fn of(shelf: &Arc<Shelf>, resources: impl IntoIterator<Item = GroupResource>) -> Self {
        let wake = Arc::new(Notify::new());
        let mut watchers = JoinSet::new();
        for resource in resources {
            watchers.spawn(watch(Arc::clone(shelf), resource, Arc::clone(&wake)));
        }
        Self { wake, _watchers: watchers }
    }

    /// Returns when something changed since the last call. Cancel-safe.
    pub async fn next(&self) {
        self.wake.notified().await;
    }
}

async fn watch(shelf: Arc<Shelf>, resource: GroupResource, wake: Arc<Notify>) {
    loop {
        // Behind the ring: whatever was missed, the loop looks at everything anyway.
        let Ok(mut watch) = shelf.watch(&resource, shelf.known(&resource)) else { continue };
        wake.notify_one();
        while watch.next().await.is_ok() {
            wake.notify_one();
        }
    }
}
