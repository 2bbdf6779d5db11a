//! The shell around `sync`: asks what is to be done for one pod, does it, records what came of it, and asks again.
//!
//! A worker is a task that lives while there is something to do for its pod. Idle pods have none.
mod end;
mod gather;
mod launch;
mod pull;

use crate::{
    agent::Shared,
    memory::{Memory, Trouble},
    pod::Pod,
    probe,
    slots::{Report, Turn, Wake},
    status,
    sync::{Look, Plan, Presence, Routing, Step, sync},
    timers::Ring,
};
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{View as _, views};
use knarr_machinery::Reason;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Rounds of one turn: a pod that never comes to rest yields to the others and is logged, because it is a bug.
const ROUNDS: usize = 200;
/// What takes longer than this is shown in the pod's status while it lasts.
const SLOW: Duration = Duration::from_millis(100);
/// A status that somebody else changed meanwhile is written again after a look at the new one.
const AFTER_CONFLICT: SignedDuration = SignedDuration::from_millis(50);
/// A status that the API did not take for another reason.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(2);

/// Works for one pod until there is nothing to do.
pub async fn work(shared: Arc<Shared>, uid: Arc<str>) {
    while let Some(turn) = shared.slots.begin(&uid) {
        match Worker::new(&shared, turn).run().await {
            After::Rest(memory) => {
                if shared.slots.end(&uid, memory) == Wake::Running {
                    return;
                }
            }
            After::Forgotten => return,
        }
    }
}

enum After {
    Rest(Box<Memory>),
    Forgotten,
}

/// One pod in the hands of its worker.
struct Worker<'a> {
    shared: &'a Shared,
    turn: Turn,
    pod: Pod,
    memory: Box<Memory>,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared, mut turn: Turn) -> Self {
        let pod = read(&turn);
        let memory = turn.memory.take().unwrap_or_else(|| Box::new(Memory::recall(&pod, &turn.found, turn.found_at)));
        Self { shared, turn, pod, memory }
    }

    fn now(&self) -> Timestamp {
        self.shared.cluster.clock.now()
    }

    async fn run(mut self) -> After {
        let now = self.now();
        self.memory.started_at.get_or_insert(now);
        for _ in 0..ROUNDS {
            self.renew();
            let plan = self.plan();
            if plan.steps.is_empty() {
                return self.rest(plan).await;
            }
            if plan.steps == [Step::Forget] {
                self.forget().await;
                return After::Forgotten;
            }
            let stops: Vec<_> = plan.steps.iter().filter_map(|step| if let Step::Stop(stop) = step { Some(*stop) } else { None }).collect();
            if !stops.is_empty() {
                self.stop(&stops).await;
            }
            for step in plan.steps {
                tracing::debug!(pod = %self.turn.entry.key, ?step, "step");
                self.perform(step).await;
                if self.turn.interrupt.is_cancelled() {
                    break;
                }
            }
            self.probe();
        }
        tracing::error!(pod = %self.turn.entry.key, "a pod does not come to rest");
        let again_at = Some(self.now() + AFTER_REFUSAL);
        self.rest(Plan { steps: vec![], again_at }).await
    }

    /// Takes in what has happened since.
    fn renew(&mut self) {
        let before = Arc::clone(&self.turn.entry);
        self.shared.slots.renew(&mut self.turn);
        self.newest();
        if !Arc::ptr_eq(&before, &self.turn.entry) {
            self.pod = read(&self.turn);
        }
        let now = self.now();
        for report in std::mem::take(&mut self.turn.reports) {
            match report {
                Report::Seen { look, containers } => self.memory.see(&self.turn.uid, &containers, look, now),
                Report::Probed { container, attempt, kind, verdict } => self.memory.probed(&self.pod, container, attempt, kind, verdict),
                Report::ConfigChanged => self.memory.retry(now),
            }
        }
    }

    /// The shelf may be ahead of what this pod was woken with: after its own writes it always is.
    fn newest(&mut self) {
        let entry = self.shared.cluster.shelf.get(&views::Pod::resource(), &self.turn.entry.key);
        match entry.filter(|entry| *entry.meta.uid == *self.turn.uid) {
            Some(entry) if !self.turn.is_gone => self.turn.entry = entry,
            Some(_) => {}
            None => self.turn.is_gone = true,
        }
    }

    fn plan(&self) -> Plan {
        let presence = if self.turn.is_gone { Presence::Gone } else { Presence::There };
        let is_routed = self.memory.ending.is_some_and(|ending| ending.unrouted_at.is_none()) && self.is_endpoint();
        let routing = if is_routed { Routing::Routed } else { Routing::Unrouted };
        sync(Look { pod: &self.pod, memory: &self.memory, presence, routing, now: self.now() })
    }

    /// Some EndpointSlice still sends requests here.
    fn is_endpoint(&self) -> bool {
        let slices = self.shared.cluster.shelf.views::<views::EndpointSlice>(Some(&self.pod.metadata.namespace));
        let mut endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        endpoints.any(|endpoint| {
            let is_mine = endpoint.target_ref.as_ref().is_some_and(|target| *target.uid == *self.turn.uid);
            is_mine && endpoint.conditions.ready != Some(false) && endpoint.conditions.terminating != Some(true)
        })
    }

    async fn perform(&mut self, step: Step) {
        match step {
            Step::ClaimAddress => self.claim(),
            Step::MakeVolumes => self.make_volumes().await,
            Step::Pull { container } => self.pull(container).await,
            Step::Start { container } => self.start(container).await,
            Step::TellBackOff { container } => self.tell_back_off(container),
            Step::BeginEnd(why) => self.memory.begin_end(why, self.now()),
            Step::Unrouted => self.memory.unrouted(self.now()),
            Step::Clean => self.clean().await,
            Step::Finish => self.finish().await,
            // Done by the caller: all stops at once, and forgetting alone.
            Step::Stop(_) | Step::Forget => {}
        }
    }

    /// Nothing to do for now: writes what is true, and sets the timer.
    async fn rest(mut self, plan: Plan) -> After {
        self.probe();
        let retry_at = if self.turn.is_gone { None } else { self.write_status().await };
        if let Some(at) = plan.again_at.into_iter().chain(retry_at).min()
            && self.shared.slots.arm(&self.turn.uid, at)
        {
            let wait = at.duration_since(self.now()).try_into().unwrap_or_default();
            self.shared.timers.at(Instant::now() + wait, Ring::Pod(Arc::clone(&self.turn.uid)));
        }
        After::Rest(self.memory)
    }

    fn probe(&self) {
        let wanted = probe::due(&self.pod, &self.memory);
        let is_ready = |index: usize| self.memory.containers.get(index).is_some_and(|known| known.is_ready);
        self.shared.prober.keep(&self.turn.uid, wanted, is_ready, &self.shared.timers, self.now());
    }

    /// One patch with what is not true any more. Says when to try again, should it be refused.
    async fn write_status(&mut self) -> Option<Timestamp> {
        let changes = status::changes(&self.pod, &self.memory, self.shared.host(), self.now())?;
        let entry = Arc::clone(&self.turn.entry);
        match self.shared.api.patch_pod_status(&entry.key, &self.turn.uid, entry.revision, changes).await {
            Ok(_) => {
                self.renew();
                None
            }
            Err(status) if status.reason == Reason::NotFound => None,
            Err(status) if status.reason == Reason::Conflict => Some(self.now() + AFTER_CONFLICT),
            Err(status) => {
                tracing::warn!(pod = %entry.key, %status, "the status was not taken");
                Some(self.now() + AFTER_REFUSAL)
            }
        }
    }

    /// Waits for something that may take long. Shows the pod's status if it does; gives up, with None, when the pod is to end.
    async fn slowly<T>(&mut self, doing: impl Future<Output = T>, meanwhile: impl FnOnce(&Self)) -> Option<T> {
        let interrupt = self.turn.interrupt.clone();
        let mut doing = std::pin::pin!(doing);
        tokio::select! {
            done = &mut doing => return Some(done),
            () = tokio::time::sleep(SLOW) => {}
            () = interrupt.cancelled() => return None,
        }
        meanwhile(self);
        // Refused: the status is written at the end of the turn in any case.
        let _ = self.write_status().await;
        tokio::select! {
            done = doing => Some(done),
            () = interrupt.cancelled() => None,
        }
    }

    fn claim(&mut self) {
        let now = self.now();
        match self.shared.network.claim(&self.turn.uid, self.memory.had_address) {
            Ok(address) => (self.memory.address, self.memory.trouble) = (Some(address), None),
            Err(e) => {
                let message = format!("Failed to create pod sandbox: {e}");
                self.shared.teller.warn(&self.pod, None, "FailedCreatePodSandBox", message.clone());
                self.trouble("FailedCreatePodSandBox", message, now);
            }
        }
    }

    fn trouble(&mut self, reason: &'static str, message: String, now: Timestamp) {
        let trouble = Trouble::after(self.memory.trouble.as_deref(), reason, message, now);
        self.memory.trouble = Some(Box::new(trouble));
    }

    fn tell_back_off(&mut self, index: usize) {
        let Some((container, known)) = self.pod.container(index).zip(self.memory.containers.get_mut(index)) else { return };
        let teller = &self.shared.teller;
        match &mut known.trouble {
            Some(trouble) => {
                trouble.told = true;
                teller.note(&self.pod, Some(index), "BackOff", format!("Back-off pulling image {:?}", container.image));
                teller.warn(&self.pod, Some(index), "Failed", "Error: ImagePullBackOff".into());
            }
            None => {
                known.told_back_off = true;
                let message = format!("Back-off restarting failed container {} in pod {}", container.name, self.pod.full_name());
                teller.warn(&self.pod, Some(index), "BackOff", message);
            }
        }
    }
}

/// A pod on the shelf has passed the server's validation; what cannot be read is treated as a pod without containers and logged.
fn read(turn: &Turn) -> Pod {
    Pod::read(&turn.entry.bytes).unwrap_or_else(|error| {
        tracing::error!(pod = %turn.entry.key, %error, "a pod cannot be read");
        Pod { metadata: (*turn.entry.meta).clone(), ..Pod::default() }
    })
}
