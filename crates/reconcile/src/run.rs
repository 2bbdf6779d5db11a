//! The shell that runs a control loop: watches its sources, looks, lets it decide, acts.
//!
//! A write answers once its revision is on the shelf that loops read, so the next look at a key sees what the last pass over it wrote: there
//! are no "expectations". A loop is told which key changed, never how.
use crate::{Controller, Failure, Outcome, Plan, Queue, Source, act::Actor, source::Change};
use knarr_cluster::{Cluster, Identity, Recorder, Shelf};
use knarr_machinery::{Reason, Revision};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// Passes of one loop at once. A pass mostly waits for a commit, and commits are shared; more would only make one loop's burst hungrier.
const WORKERS: usize = 4;

/// Runs a control loop under an identity until it is told to stop. A worker that panics is replaced; its key comes again.
pub async fn run<C: Controller>(controller: C, cluster: Cluster, identity: Identity, stop: CancellationToken) {
    let recorder = Recorder::new(cluster.clone(), identity.clone(), C::NAME);
    let shell =
        Arc::new(Shell { queue: Queue::new(controller.pace()), actor: Actor { cluster, who: Arc::new(identity), recorder }, controller });
    let mut tasks = JoinSet::new();
    for source in shell.controller.sources() {
        tasks.spawn(Arc::clone(&shell).follow(source));
    }
    for _ in 0..WORKERS {
        tasks.spawn(Arc::clone(&shell).work());
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            ended = tasks.join_next() => {
                if let Some(Err(panic)) = ended {
                    error!(controller = C::NAME, %panic, "a worker panicked; another takes its place");
                    tasks.spawn(Arc::clone(&shell).work());
                }
            }
        }
    }
    tasks.shutdown().await;
}

struct Shell<C: Controller> {
    controller: C,
    queue: Queue<C::Key>,
    actor: Actor,
}

impl<C: Controller> Shell<C> {
    /// Turns changes of one collection into keys, for ever.
    async fn follow(self: Arc<Self>, source: Source<C::Key>) {
        let shelf = &self.actor.cluster.shelf;
        loop {
            let revision = self.add_everything(shelf, &source);
            let Ok(mut watch) = shelf.watch(&source.resource, revision) else { continue };
            while let Ok(seen) = watch.next().await {
                for step in &seen {
                    let change = Change { now: step.now.as_ref(), was: step.was.as_ref() };
                    self.queue.add_all(source.keys(shelf, change));
                }
            }
            debug!(controller = C::NAME, resource = %source.resource, "fell behind: looks at everything again");
        }
    }

    /// The usual way in: at the start, and after falling behind.
    fn add_everything(&self, shelf: &Shelf, source: &Source<C::Key>) -> Revision {
        let (entries, revision) = shelf.list(&source.resource, None);
        for entry in &entries {
            self.queue.add_all(source.keys(shelf, Change { now: Some(entry), was: None }));
        }
        revision
    }

    async fn work(self: Arc<Self>) {
        loop {
            let pass = self.queue.next().await;
            let outcome = self.pass(&pass.key).await;
            pass.end(outcome);
        }
    }

    async fn pass(&self, key: &C::Key) -> Outcome {
        let Some(look) = self.controller.look(&self.actor.cluster.shelf, key) else { return Outcome::Quiet { again_in: None } };
        let Plan { actions, again_in } = self.controller.reconcile(&look, self.actor.cluster.clock.now());
        if actions.is_empty() {
            return Outcome::Quiet { again_in };
        }
        debug!(controller = C::NAME, %key, actions = actions.len(), "acts");
        let failures = self.actor.act(actions).await;
        if failures.is_empty() {
            return Outcome::Wrote { again_in };
        }
        self.tell(key, &failures);
        let note = self.controller.failed(&look, &failures, self.actor.cluster.clock.now());
        self.tell(key, &self.actor.act(note.actions).await);
        Outcome::Failed
    }

    /// Says once what was refused. That somebody else was faster is everyday life.
    fn tell(&self, key: &C::Key, failures: &[Failure]) {
        if let Some(Failure { status, .. }) = failures.first() {
            match status.reason {
                Reason::Conflict | Reason::NotFound | Reason::AlreadyExists => debug!(controller = C::NAME, %key, %status, "looks again"),
                _ => warn!(controller = C::NAME, %key, %status, failures = failures.len(), "refused; tries again"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
