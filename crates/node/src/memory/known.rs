//! What the agent remembers of one container.
use super::{Look, container_id, lost};
use crate::{
    back_off::BackOff,
    pod::{Container, Ended, Pod, RecordedContainer},
};
use jiff::Timestamp;
use knarr_image::World;
use knarr_runtime::{Image, Observed, State as Seen};
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub name: Box<str>,
    /// Of the container that `state` speaks of; counts starts, from 0.
    pub attempt: u32,
    pub state: State,
    /// What `imageID` shows; shared by all pods of that image.
    pub image_id: Option<Arc<str>>,
    /// The image as the spec named it when it was last pulled.
    pub image: Option<Arc<str>>,
    /// The image for the next start, once it is here.
    pub here: Option<Arc<Here>>,
    /// How the container before this one ended.
    pub last: Option<Box<Ended>>,
    /// Why it cannot be started now.
    pub trouble: Option<Box<Trouble>>,
    pub crashes: BackOff,
    /// The event that tells of waiting after a crash is out.
    pub told_back_off: bool,
    pub is_ready: bool,
    /// Its startup probe, if it has one, has passed.
    pub is_started: bool,
    /// A liveness or startup probe has given it up.
    pub is_condemned: bool,
    /// Looks that began up to here may not show it yet.
    pub looked: Look,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum State {
    #[default]
    Never,
    Running {
        since: Timestamp,
        is_stopping: bool,
    },
    Ended(Box<Ended>),
}

/// An image on this node, shared by all pods that use it.
#[derive(Debug, PartialEq)]
pub struct Here {
    pub image_id: Arc<str>,
    /// The name that the pod's spec gives.
    pub name: Arc<str>,
    pub image: Image,
    /// What it can do: what is served listens.
    pub world: World,
}

/// Why something cannot be done now, and when to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// What `waiting.reason` says.
    pub reason: &'static str,
    pub message: String,
    pub since: Timestamp,
    pub until: Timestamp,
    pub back_off: BackOff,
    /// The event that tells of waiting is out.
    pub told: bool,
}

impl Trouble {
    /// One more failure after `before`.
    pub fn after(before: Option<&Self>, reason: &'static str, message: String, now: Timestamp) -> Self {
        let (back_off, until) = before.map(|before| before.back_off).unwrap_or_default().fail(now);
        Self { reason, message, since: now, until, back_off, told: false }
    }
}

impl Known {
    pub(super) fn recall(pod: &Pod, container: &Container, record: Option<&RecordedContainer>, seen: &[Observed], look: Look) -> Self {
        let uid = &pod.metadata.uid;
        let newest = seen.iter().filter(|one| *one.name == *container.name).max_by_key(|one| one.attempt);
        let attempt = newest.map(|one| one.attempt).or(record.map(|record| record.restart_count)).unwrap_or(0);
        let state = match (newest, record) {
            (Some(one), _) => match &one.state {
                Seen::Running { started_at_ms } => State::Running { since: time(*started_at_ms), is_stopping: false },
                exited => State::Ended(Box::new(ended(uid, one, exited))),
            },
            (None, Some(record)) => match (&record.state.running, &record.state.terminated, &record.last_state.terminated) {
                (Some(_), ..) => State::Ended(Box::new(lost(uid, &container.name, attempt, None, None))),
                (None, Some(ended), _) | (None, None, Some(ended)) => State::Ended(Box::new(ended.clone())),
                (None, None, None) => State::Never,
            },
            (None, None) => State::Never,
        };
        let image_id = record.filter(|record| !record.image_id.is_empty()).map(|record| Arc::from(&*record.image_id));
        // What it runs, which the spec may have left behind.
        let image = record.filter(|_| image_id.is_some()).map(|record| Arc::from(&*record.image));
        let is_running = matches!(state, State::Running { .. });
        let last = match (&state, record) {
            (State::Running { .. }, Some(record)) => record.last_state.terminated.clone().map(Box::new),
            (State::Ended(_), Some(record)) if record.state.terminated.is_some() => record.last_state.terminated.clone().map(Box::new),
            _ => None,
        };
        Self {
            name: container.name.clone(),
            attempt,
            state,
            image_id,
            image,
            last,
            is_ready: is_running && record.map_or(container.readiness_probe.is_none(), |record| record.ready),
            is_started: is_running && record.and_then(|record| record.started).unwrap_or(container.startup_probe.is_none()),
            looked: look,
            ..Self::default()
        }
    }

    /// Its end, if this look shows one that is not known yet.
    pub(super) fn news(&self, uid: &str, seen: &[Observed], look: Look, now: Timestamp) -> Option<Ended> {
        let State::Running { since, .. } = self.state else { return None };
        match seen.iter().find(|one| *one.name == *self.name && one.attempt == self.attempt) {
            Some(Observed { state: Seen::Running { .. }, .. }) => None,
            Some(one) => Some(ended(uid, one, &one.state)),
            None if look > self.looked => Some(lost(uid, &self.name, self.attempt, Some(since), Some(now))),
            None => None,
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Which attempt a start would be.
    pub fn next_attempt(&self) -> u32 {
        if self.state == State::Never { self.attempt } else { self.attempt + 1 }
    }

    pub fn pulled(&mut self, here: Arc<Here>) {
        self.image_id = Some(Arc::clone(&here.image_id));
        self.image = Some(Arc::clone(&here.name));
        self.here = Some(here);
        // Whoever may pull may start as well; how often it failed is not forgotten by it.
        if let Some(trouble) = &mut self.trouble {
            trouble.until = trouble.since;
        }
    }

    /// It could not be pulled, configured, compiled or started.
    pub fn failed(&mut self, container: &Container, reason: &'static str, message: String, now: Timestamp) {
        (self.here, self.image) = (None, Some(Arc::from(&*container.image)));
        self.trouble = Some(Box::new(Trouble::after(self.trouble.as_deref(), reason, message, now)));
    }

    /// It runs. `look` is the newest look at the runtime that may not show it.
    pub fn started(&mut self, container: &Container, now: Timestamp, look: Look) {
        let attempt = self.next_attempt();
        let state = std::mem::replace(&mut self.state, State::Running { since: now, is_stopping: false });
        if let State::Ended(ended) = state {
            let failed_at = ended.finished_at.unwrap_or(now);
            self.crashes = self.crashes.next(failed_at, now);
            self.last = Some(ended);
        }
        self.attempt = attempt;
        self.looked = look;
        (self.trouble, self.here) = (None, None);
        (self.told_back_off, self.is_condemned) = (false, false);
        self.is_started = container.startup_probe.is_none();
        self.is_ready = self.is_started && container.readiness_probe.is_none();
    }

    pub fn stopping(&mut self, is_stopping: bool) {
        if let State::Running { is_stopping: was, .. } = &mut self.state {
            *was = is_stopping;
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.state = State::Ended(Box::new(ended));
        (self.is_ready, self.is_started, self.is_condemned) = (false, false, false);
    }
}

fn ended(uid: &str, one: &Observed, state: &Seen) -> Ended {
    let Seen::Exited { code, reason, message, started_at_ms, finished_at_ms } = state else { return Ended::default() };
    Ended {
        exit_code: *code,
        reason: reason.as_str().into(),
        message: message.as_str().into(),
        started_at: Some(time(*started_at_ms)),
        finished_at: Some(time(*finished_at_ms)),
        container_id: container_id(uid, &one.name, one.attempt),
    }
}

fn time(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}
