//! The next step of one container of a pod that lives.
use super::{Because, Look, Plan, Step, Stop, grace_ms};
use crate::{
    memory::{Known, State, Trouble},
    pod::Container,
};
use jiff::SignedDuration;

/// How long a failed pull is called by its first name before it is called waiting: long enough to be seen.
const PULL_FAILURE_SHOWN: SignedDuration = SignedDuration::from_secs(1);

pub(super) fn advance(look: Look, index: usize) -> Plan {
    let (Some(container), Some(known)) = (look.pod.container(index), look.memory.containers.get(index)) else { return Plan::default() };
    match &known.state {
        State::Running { is_stopping: true, .. } => Plan::default(),
        State::Running { .. } => stop_if_bad(look, index, container, known),
        State::Ended(ended) => {
            if !look.pod.policy(index).restarts(ended.exit_code) {
                return Plan::default();
            }
            let failed_at = ended.finished_at.unwrap_or(look.now);
            let until = known.crashes.until(failed_at);
            if look.now < until {
                let wait = Plan::at(until);
                return if known.told_back_off { wait } else { Plan::step(Step::TellBackOff { container: index }).and(wait) };
            }
            start(look, index, known)
        }
        State::Never => start(look, index, known),
    }
}

fn stop_if_bad(look: Look, index: usize, container: &Container, known: &Known) -> Plan {
    let startup = container.startup_probe.as_ref().filter(|_| !known.is_started);
    let because = if known.is_condemned {
        if startup.is_some() { Because::Startup } else { Because::Liveness }
    } else if known.image.as_ref().is_some_and(|image| **image != *container.image) {
        Because::Changed
    } else {
        return Plan::default();
    };
    let probe = match because {
        Because::Startup => startup,
        Because::Liveness => container.liveness_probe.as_ref(),
        Because::Changed | Because::PodEnds => None,
    };
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds).and_then(|s| u64::try_from(s).ok());
    let grace_ms = own.map_or_else(|| grace_ms(look), |s| s * 1000);
    Plan::step(Step::Stop(Stop { container: index, grace_ms, because }))
}

fn start(look: Look, index: usize, known: &Known) -> Plan {
    match known.trouble.as_deref() {
        Some(trouble) if look.now < trouble.until && !is_about_another_image(look, index, known) => wait(look, index, trouble),
        _ if known.here.as_ref().is_none_or(|here| Some(&*here.name) != look.pod.container(index).map(|container| &*container.image)) => {
            Plan::step(Step::Pull { container: index })
        }
        _ => Plan::step(Step::Start { container: index }),
    }
}

/// Somebody corrected the image: no reason to wait.
fn is_about_another_image(look: Look, index: usize, known: &Known) -> bool {
    let asked = look.pod.container(index).map(|container| &*container.image);
    known.image.as_deref().is_some_and(|tried| Some(tried) != asked)
}

fn wait(look: Look, index: usize, trouble: &Trouble) -> Plan {
    let wait = Plan::at(trouble.until);
    if trouble.told || trouble.reason != "ErrImagePull" {
        return wait;
    }
    let shown = trouble.since + PULL_FAILURE_SHOWN;
    if look.now < shown { wait.and(Plan::at(shown)) } else { Plan::step(Step::TellBackOff { container: index }).and(wait) }
}
