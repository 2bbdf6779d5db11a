//! What is to be done next for one pod: from what the API says, what is remembered and the time, to steps. Pure.
//!
//! The worker performs the steps, records what came of each in `Memory` and asks again, until there are none. So every step leaves a
//! fact behind that keeps it from being asked for at once again.
mod start;
#[cfg(test)]
mod tests;

use crate::{
    memory::{Known, Memory, State, Why},
    pod::Pod,
};
use jiff::{SignedDuration, Timestamp};
use start::advance;

/// How often a pod that ends looks whether it is still an endpoint.
const UNROUTE_AGAIN: SignedDuration = SignedDuration::from_millis(20);
/// How long it waits for that at most: the control plane may be away, and deleting goes on without it.
const UNROUTE_LIMIT: SignedDuration = SignedDuration::from_secs(3);
/// What proxies and runners get to take over routes without it.
const UNROUTE_SETTLES: SignedDuration = SignedDuration::from_millis(50);
/// Grace of a pod whose object is gone already, and of one without a grace period of its own.
const GONE_GRACE_MS: u64 = 1000;
const DEFAULT_GRACE_S: i64 = 30;

/// Everything that decides about one pod.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub pod: &'a Pod,
    pub memory: &'a Memory,
    pub presence: Presence,
    pub routing: Routing,
    pub now: Timestamp,
}

/// Whether the API still has the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    There,
    Gone,
}

/// Whether the pod is a ready endpoint of some Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    Routed,
    Unrouted,
}

/// Containers are named by their index in `Pod::containers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    ClaimAddress,
    MakeVolumes,
    Pull {
        container: usize,
    },
    Start {
        container: usize,
    },
    /// The wait after a failure begins: events tell of it.
    TellBackOff {
        container: usize,
    },
    Stop(Stop),
    BeginEnd(Why),
    Unrouted,
    /// Forgets its containers, removes its volumes, gives its address back.
    Clean,
    /// Writes the last status and removes the object from the API.
    Finish,
    /// Forgets the pod.
    Forget,
}

/// One container to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    pub container: usize,
    pub grace_ms: u64,
    pub because: Because,
}

/// What the `Killing` event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    PodEnds,
    Liveness,
    Startup,
    /// The image in the spec is another one now.
    Changed,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// When to look again even if nothing happens.
    pub again_at: Option<Timestamp>,
}

impl Plan {
    fn step(step: Step) -> Self {
        Self { steps: vec![step], again_at: None }
    }

    fn at(again_at: Timestamp) -> Self {
        Self { steps: vec![], again_at: Some(again_at) }
    }

    fn and(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self.again_at = self.again_at.into_iter().chain(other.again_at).min();
        self
    }
}

/// The next steps.
pub fn sync(look: Look) -> Plan {
    let Look { pod, memory, now, .. } = look;
    if let Some(why) = why_it_ends(look)
        && memory.ending.is_none_or(|ending| ending.why != why && why == Why::Deleted)
    {
        return Plan::step(Step::BeginEnd(why));
    }
    if memory.ending.is_some() {
        return end(look);
    }
    if memory.address.is_none() {
        return match &memory.trouble {
            Some(trouble) if now < trouble.until => Plan::at(trouble.until),
            _ => Plan::step(Step::ClaimAddress),
        };
    }
    let plan = run(look);
    match deadline(pod, memory) {
        Some(deadline) => plan.and(Plan::at(deadline)),
        None => plan,
    }
}

fn why_it_ends(look: Look) -> Option<Why> {
    let Look { pod, memory, now, .. } = look;
    if pod.metadata.is_deleting() || look.presence == Presence::Gone {
        return Some(Why::Deleted);
    }
    if is_over(pod, memory) {
        return Some(Why::Finished);
    }
    deadline(pod, memory).filter(|deadline| now >= *deadline).map(|_| Why::DeadlineExceeded)
}

fn deadline(pod: &Pod, memory: &Memory) -> Option<Timestamp> {
    Some(memory.started_at? + SignedDuration::from_secs(pod.spec.active_deadline_seconds?))
}

/// Nothing more will ever run in this pod: the API says so already, or its containers do.
pub fn is_over(pod: &Pod, memory: &Memory) -> bool {
    if matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let init = pod.spec.init_containers.len();
    let mut all = memory.containers.iter().enumerate();
    let init_failed = all.by_ref().take(init).any(|(index, known)| is_done(pod, index, known) && !has_succeeded(known));
    init_failed
        || (memory.containers.len() > init && (init..memory.containers.len()).all(|index| is_done(pod, index, &memory.containers[index])))
}

/// It ended and does not come back.
pub fn is_done(pod: &Pod, index: usize, known: &Known) -> bool {
    known.ended().is_some_and(|ended| !pod.policy(index).restarts(ended.exit_code))
}

pub fn has_succeeded(known: &Known) -> bool {
    known.ended().is_some_and(|ended| ended.exit_code == 0)
}

/// Init containers one after the other, then the others all at once.
fn run(look: Look) -> Plan {
    let Look { pod, memory, .. } = look;
    let mut plan = Plan::default();
    for (index, container) in pod.spec.init_containers.iter().enumerate() {
        let Some(known) = memory.containers.get(index) else { return plan };
        if is_done(pod, index, known) && has_succeeded(known) {
            continue;
        }
        plan = plan.and(advance(look, index));
        // A sidecar lets the next one begin once it has started, and is looked after from then on.
        if !(container.is_sidecar() && known.is_running() && known.is_started) {
            return with_volumes(look, plan);
        }
    }
    for index in pod.spec.init_containers.len()..memory.containers.len() {
        plan = plan.and(advance(look, index));
    }
    with_volumes(look, plan)
}

/// Volumes are made once something is to be started, and only then: an adopted pod has them.
fn with_volumes(look: Look, plan: Plan) -> Plan {
    let starts = plan.steps.iter().any(|step| matches!(step, Step::Pull { .. } | Step::Start { .. }));
    if look.memory.has_volumes || !starts {
        return plan;
    }
    match &look.memory.trouble {
        Some(trouble) if look.now < trouble.until => Plan { steps: vec![], ..plan }.and(Plan::at(trouble.until)),
        _ => Plan::step(Step::MakeVolumes),
    }
}

/// Unroute, drain and stop, clean, and then let the object go.
fn end(look: Look) -> Plan {
    let Look { memory, now, .. } = look;
    let ending = memory.ending.expect("the caller saw it");
    if memory.any_running() {
        if let Some(wait) = unroute(look) {
            return wait;
        }
        return stop_all(look);
    }
    if !memory.is_clean {
        return match &memory.trouble {
            Some(trouble) if now < trouble.until => Plan::at(trouble.until),
            _ => Plan::step(Step::Clean),
        };
    }
    match (ending.why, look.presence) {
        (_, Presence::Gone) => Plan::step(Step::Forget),
        (Why::Deleted, Presence::There) => match &memory.trouble {
            Some(trouble) if now < trouble.until => Plan::at(trouble.until),
            _ if memory.is_finished => Plan::default(),
            _ => Plan::step(Step::Finish),
        },
        (Why::DeadlineExceeded | Why::Finished, Presence::There) => Plan::default(),
    }
}

/// Waits until nobody sends requests any more. Nothing to wait for: None.
fn unroute(look: Look) -> Option<Plan> {
    let ending = look.memory.ending.filter(|ending| ending.why == Why::Deleted)?;
    let grace_ms = grace_ms(look);
    if look.presence == Presence::Gone || grace_ms == 0 {
        return None;
    }
    match ending.unrouted_at {
        Some(at) => Some(at + UNROUTE_SETTLES).filter(|settled| look.now < *settled).map(Plan::at),
        None if look.routing == Routing::Routed && look.now < ending.since + UNROUTE_LIMIT => Some(Plan::at(look.now + UNROUTE_AGAIN)),
        None => Some(Plan::step(Step::Unrouted)),
    }
}

/// Sidecars outlive the containers that they serve.
fn stop_all(look: Look) -> Plan {
    let Look { pod, memory, .. } = look;
    let running = |index: &usize| memory.containers[*index].is_running();
    let init = pod.spec.init_containers.len().min(memory.containers.len());
    let mut first: Vec<_> = (init..memory.containers.len()).filter(running).collect();
    if first.is_empty() {
        first = (0..init).filter(running).collect();
    }
    let still = first.into_iter().filter(|index| matches!(memory.containers[*index].state, State::Running { is_stopping: false, .. }));
    let grace_ms = grace_ms(look);
    Plan { steps: still.map(|container| Step::Stop(Stop { container, grace_ms, because: Because::PodEnds })).collect(), again_at: None }
}

fn grace_ms(look: Look) -> u64 {
    if look.presence == Presence::Gone {
        return GONE_GRACE_MS;
    }
    let asked = look.pod.metadata.deletion_grace_period_seconds.or(look.pod.spec.termination_grace_period_seconds);
    u64::try_from(asked.unwrap_or(DEFAULT_GRACE_S)).unwrap_or(0) * 1000
}
