//! Tells people what happened to an object, as core/v1 Events. Never blocks and never fails its caller: an event is worth less than the work
//! it tells of.
mod tally;

use crate::{Clock, Cluster, FrontDoor, Identity};
use std::sync::Arc;
use tally::{Tally, Tell};
use tokio::sync::mpsc;

/// Events that wait for the task that writes them. Beyond that they are dropped: a loop that says more than this at once repeats itself.
const QUEUE: usize = 512;
/// Events taken from the queue before any is written, so that repeats within a burst are one write.
const AT_ONCE: usize = 64;

/// Whom an event is about. `namespace` is empty for what has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    /// A part of the object: `spec.containers{web}`. Empty: all of it.
    pub field_path: Box<str>,
}

/// Whether an event is for information or something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    Normal,
    Warning,
}

impl Type {
    /// As it stands in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Occurrence {
    pub(crate) about: ObjectRef,
    pub(crate) kind: Type,
    pub(crate) reason: Box<str>,
    pub(crate) message: Box<str>,
}

/// Where events come from: `kubelet` on a node, a controller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Origin {
    pub(crate) component: String,
    pub(crate) host: Option<String>,
}

/// Cheap to clone. Its task ends when the last clone is dropped and what was queued is written.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// Starts a recorder that writes under an identity. Needs a tokio runtime to be running.
    pub fn new(cluster: Cluster, identity: Identity, component: &str) -> Self {
        Self::start(cluster, identity, Origin { component: component.into(), host: None })
    }

    /// The same for a component of a node, which events name as their host.
    pub fn on_node(cluster: Cluster, identity: Identity, component: &str, node: &str) -> Self {
        Self::start(cluster, identity, Origin { component: component.into(), host: Some(node.into()) })
    }

    fn start(cluster: Cluster, identity: Identity, origin: Origin) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let task = Task { door: cluster.door, clock: cluster.clock, identity, tally: Tally::new(origin) };
        // Not joined: it ends by itself with the last recorder, and a write more or less at the end of the process harms nobody.
        tokio::spawn(task.run(waiting));
        Self { queue }
    }

    /// Says that something happened. The same said again counts up the event that is there. A full queue drops it.
    pub fn event(&self, about: &ObjectRef, kind: Type, reason: &str, message: &str) {
        let occurrence = Occurrence { about: about.clone(), kind, reason: reason.into(), message: tally::shorten(message).into() };
        if self.queue.try_send(occurrence).is_err() {
            tracing::debug!(object = %about.name, reason, "an event was dropped: too many wait");
        }
    }
}

struct Task {
    door: Arc<dyn FrontDoor>,
    clock: Clock,
    identity: Identity,
    tally: Tally,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Occurrence>) {
        let mut some = Vec::with_capacity(AT_ONCE);
        while waiting.recv_many(&mut some, AT_ONCE).await > 0 {
            let now = self.clock.now();
            for occurrence in some.drain(..) {
                self.tally.count(occurrence, now);
            }
            for tell in self.tally.untold() {
                self.write(tell).await;
            }
        }
    }

    async fn write(&mut self, tell: Tell) {
        let Err(status) = self.door.submit(&self.identity, tell.write).await else { return };
        // The event that was counted up has expired: tell it anew, once.
        let again = if status.code == 404 { self.tally.anew(&tell.occurrence) } else { None };
        let failed = match again {
            Some(write) => self.door.submit(&self.identity, write).await.err(),
            None => Some(status),
        };
        if let Some(status) = failed {
            let occurrence = &tell.occurrence;
            tracing::debug!(object = %occurrence.about.name, reason = %occurrence.reason, %status, "an event was not written");
            self.tally.forget(occurrence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Done, Shelf, Verb, Write};
    use knarr_machinery::{Pending, Reason, Revision, Status};
    use std::sync::Mutex;

    /// Remembers what it was asked; answers 404 to patches when told to.
    #[derive(Default)]
    struct Door {
        asked: Mutex<Vec<(Verb, serde_json::Value)>>,
        forgets: bool,
    }

    impl FrontDoor for Door {
        fn submit<'a>(&'a self, _who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
            let body = serde_json::from_slice(&write.body).unwrap();
            self.asked.lock().unwrap().push((write.verb, body));
            let refused = self.forgets && write.verb != Verb::Create;
            Box::pin(async move {
                if refused {
                    return Err(Status::new(404, Reason::NotFound, "gone"));
                }
                Ok(Done { revision: Revision(1), object: write.body, created: true, pending: false, warnings: vec![] })
            })
        }
    }

    async fn told(messages: &[&str], forgets: bool) -> Vec<String> {
        let door = Arc::new(Door { forgets, ..Door::default() });
        let cluster = Cluster { shelf: Shelf::new(), door: door.clone(), clock: Clock::System };
        let recorder = Recorder::new(cluster, Identity::default(), "test");
        let about = ObjectRef { name: "a".into(), namespace: "default".into(), ..ObjectRef::default() };
        for message in messages {
            recorder.event(&about, Type::Normal, "Said", message);
            // Lets the task take it, so that each is a write of its own.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        let said =
            |(verb, body): &(Verb, serde_json::Value)| format!("{verb:?} {} x{}", body["message"].as_str().unwrap_or("-"), body["count"]);
        door.asked.lock().unwrap().iter().map(said).collect()
    }

    #[tokio::test]
    async fn counts_what_is_said_again() {
        assert_eq!(
            told(&["hello", "hello", "bye", "hello"], false).await,
            ["Create hello x1", "Patch(Merge) - x2", "Create bye x1", "Patch(Merge) - x3"]
        );
    }

    #[tokio::test]
    async fn tells_anew_what_has_expired() {
        assert_eq!(told(&["hello", "hello"], true).await, ["Create hello x1", "Patch(Merge) - x2", "Create hello x2"]);
    }

    #[tokio::test]
    async fn a_burst_neither_blocks_nor_grows_without_bound() {
        let door = Arc::new(Door::default());
        let cluster = Cluster { shelf: Shelf::new(), door: door.clone(), clock: Clock::System };
        let recorder = Recorder::new(cluster, Identity::default(), "test");
        for number in 0..2 * QUEUE {
            recorder.event(&ObjectRef::default(), Type::Warning, "Burst", &number.to_string());
        }
        let queue = recorder.queue.clone();
        while queue.capacity() < QUEUE {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.max_capacity(), QUEUE);
        assert!(door.asked.lock().unwrap().len() <= QUEUE);
    }
}
