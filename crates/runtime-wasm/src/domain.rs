//! One isolation domain: its runner's link, what is known of its containers, its routing table.
use crate::link::Link;
use knarr_runtime::{Container, ContainerId, Observed, Routes, State};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::sync::{Notify, watch};

/// As a process that was killed: 128 + SIGKILL.
const KILLED: i32 = 137;

pub struct Domain {
    name: String,
    /// Held while a runner is started, so that one is.
    pub link: tokio::sync::Mutex<Option<Arc<Link>>>,
    known: Mutex<BTreeMap<ContainerId, Observed>>,
    routes: watch::Sender<Arc<Routes>>,
    changed: Arc<Notify>,
}

impl Domain {
    pub fn new(name: &str, changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            link: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            routes: watch::Sender::default(),
            changed,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn route(&self, routes: Arc<Routes>) {
        self.routes.send_if_modified(|held| {
            let is_newer = held.version <= routes.version && **held != *routes;
            if is_newer {
                *held = routes;
            }
            is_newer
        });
    }

    pub fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.subscribe()
    }

    /// A container was started. What its runner said of it meanwhile is newer.
    pub fn began(&self, container: &Container) {
        let running = container.observed(State::Running { started_at_ms: now_ms() });
        self.known.lock().expect(POISON).entry(running.id.clone()).or_insert(running);
        self.changed.notify_one();
    }

    /// The runner says how a container is. What has ended never runs again, whatever order reports come in.
    pub fn saw(&self, seen: Observed) {
        let mut known = self.known.lock().expect(POISON);
        let is_stale = known.get(&seen.id).is_some_and(|held| matches!(held.state, State::Exited { .. }));
        if !is_stale {
            known.insert(seen.id.clone(), seen);
        }
        drop(known);
        self.changed.notify_one();
    }

    /// The runner is gone, and all that ran in it.
    pub fn lost(&self, how: &str) {
        let mut known = self.known.lock().expect(POISON);
        for observed in known.values_mut() {
            if let State::Running { started_at_ms } = observed.state {
                let message = format!("the runner of {} ended: {how}", self.name);
                observed.state = State::Exited { code: KILLED, reason: "Error".into(), message, started_at_ms, finished_at_ms: now_ms() };
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    pub fn find(&self, id: &ContainerId) -> Option<Observed> {
        self.known.lock().expect(POISON).get(id).cloned()
    }

    pub fn forget(&self, id: &ContainerId) {
        self.known.lock().expect(POISON).remove(id);
        self.changed.notify_one();
    }

    pub fn observe(&self) -> Vec<Observed> {
        self.known.lock().expect(POISON).values().cloned().collect()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const POISON: &str = "a lock of a domain is never poisoned";

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, state: State) -> Observed {
        Observed { id: ContainerId(name.into()), pod_uid: "u".into(), name: name.into(), attempt: 0, state }
    }

    fn exited(code: i32) -> State {
        State::Exited { code, reason: "Error".into(), message: String::new(), started_at_ms: 1, finished_at_ms: 2 }
    }

    #[test]
    fn what_has_ended_stays_ended() {
        let domain = Domain::new("shop", Arc::default());
        domain.saw(seen("a", exited(3)));
        domain.saw(seen("a", State::Running { started_at_ms: 1 }));
        domain.lost("signal: 9 (SIGKILL)");
        assert_eq!(domain.observe(), [seen("a", exited(3))]);
    }

    #[test]
    fn a_lost_runner_takes_what_ran_in_it() {
        let domain = Domain::new("shop", Arc::default());
        domain.saw(seen("a", State::Running { started_at_ms: 1 }));
        domain.lost("signal: 9 (SIGKILL)");
        let State::Exited { code, reason, message, started_at_ms: 1, .. } = domain.observe().remove(0).state else { panic!("it ran on") };
        assert_eq!((code, reason.as_str(), message.as_str()), (137, "Error", "the runner of shop ended: signal: 9 (SIGKILL)"));
    }

    #[test]
    fn an_older_table_never_replaces_a_newer_one() {
        let domain = Domain::new("shop", Arc::default());
        for version in [2, 1] {
            domain.route(Arc::new(Routes { version, ..Routes::default() }));
        }
        assert_eq!(domain.routes().borrow().version, 2);
    }
}
