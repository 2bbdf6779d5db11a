//! Which probes a pod's containers are due, where they go, and what results in a row mean. Pure.
#[cfg(test)]
mod tests;

use crate::{
    memory::{Memory, State},
    pod::{Container, Pod, PortRef, Probe},
};
use jiff::Timestamp;
use std::{net::IpAddr, time::Duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    /// The first word of events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// A probe of one container that runs now.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Its index in `Pod::containers`.
    pub container: usize,
    pub attempt: u32,
    pub kind: Kind,
    pub target: Target,
    pub first_at: Timestamp,
    pub period: Duration,
    pub timeout: Duration,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Http {
        host: String,
        port: u16,
        path: String,
        headers: Vec<(String, String)>,
        tls: bool,
    },
    Tcp {
        host: String,
        port: u16,
    },
    /// Nothing that a guest could answer; says why.
    Impossible(String),
}

/// All probes that are due for a pod: the startup probe first and alone.
pub fn due(pod: &Pod, memory: &Memory) -> Vec<Due> {
    let mut all = Vec::new();
    let Some(address) = memory.address.filter(|_| memory.ending.is_none()) else { return all };
    for (index, (container, known)) in pod.containers().zip(&memory.containers).enumerate() {
        let State::Running { since, is_stopping: false } = known.state else { continue };
        if known.is_condemned || (pod.is_init(index) && !container.is_sidecar()) {
            continue;
        }
        let mut add = |kind, probe: &Option<Box<Probe>>| {
            all.extend(probe.as_deref().map(|probe| one(index, known.attempt, kind, container, probe, address, since)));
        };
        if known.is_started {
            add(Kind::Liveness, &container.liveness_probe);
            add(Kind::Readiness, &container.readiness_probe);
        } else {
            add(Kind::Startup, &container.startup_probe);
        }
    }
    all
}

fn one(container_index: usize, attempt: u32, kind: Kind, container: &Container, probe: &Probe, address: IpAddr, since: Timestamp) -> Due {
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    Due {
        container: container_index,
        attempt,
        kind,
        target: target(container, probe, address),
        first_at: since + Duration::from_secs(probe.initial_delay_seconds.into()),
        period: Duration::from_secs(or(probe.period_seconds, 10).into()),
        timeout: Duration::from_secs(or(probe.timeout_seconds, 1).into()),
        success_threshold: or(probe.success_threshold, 1),
        failure_threshold: or(probe.failure_threshold, 3),
    }
}

fn target(container: &Container, probe: &Probe, address: IpAddr) -> Target {
    let own = |host: &str| if host.is_empty() { address.to_string() } else { host.to_owned() };
    let port = |port: &PortRef| container.port(port).filter(|port| *port != 0);
    if let Some(http) = &probe.handler.http_get {
        let Some(port) = port(&http.port) else { return Target::Impossible(format!("couldn't find port: {:?}", http.port)) };
        let path = if http.path.starts_with('/') { http.path.clone() } else { format!("/{}", http.path) };
        let headers = http.http_headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
        return Target::Http { host: own(&http.host), port, path, headers, tls: http.scheme.eq_ignore_ascii_case("HTTPS") };
    }
    if let Some(tcp) = &probe.handler.tcp_socket {
        let Some(port) = port(&tcp.port) else { return Target::Impossible(format!("couldn't find port: {:?}", tcp.port)) };
        return Target::Tcp { host: own(&tcp.host), port };
    }
    Target::Impossible("only httpGet and tcpSocket probes reach a WebAssembly container".into())
}

/// What one probe said.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Success,
    /// Says what went wrong, as the event does after `... probe failed: `.
    Failure(String),
}

/// Results in a row, and the verdict that was told last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Streak {
    verdict: Option<Verdict>,
    last: Option<Verdict>,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
}

impl Streak {
    /// A readiness probe of a container that was ready when the agent came back.
    pub fn told(verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..Self::default() }
    }

    /// Counts one result. Gives the verdict where it is another than before.
    pub fn count(&mut self, outcome: &Outcome, due: &Due) -> Option<Verdict> {
        let (result, threshold) = match outcome {
            Outcome::Success => (Verdict::Passed, due.success_threshold),
            Outcome::Failure(_) => (Verdict::Failed, due.failure_threshold),
        };
        self.count = if self.last == Some(result) { self.count.saturating_add(1) } else { 1 };
        self.last = Some(result);
        if self.count < threshold || self.verdict == Some(result) {
            return None;
        }
        self.verdict = Some(result);
        Some(result)
    }
}

impl Memory {
    /// A probe's verdict on one container. Late news of a container that was restarted since says nothing.
    pub fn probed(&mut self, pod: &Pod, container: usize, attempt: u32, kind: Kind, verdict: Verdict) {
        let has_readiness = pod.container(container).is_some_and(|container| container.readiness_probe.is_some());
        let Some(known) = self.containers.get_mut(container).filter(|known| known.attempt == attempt && known.is_running()) else { return };
        match (kind, verdict) {
            (Kind::Readiness, verdict) => known.is_ready = verdict == Verdict::Passed,
            // Whom nobody asks whether it is ready is so from now on.
            (Kind::Startup, Verdict::Passed) => (known.is_started, known.is_ready) = (true, !has_readiness),
            (Kind::Startup | Kind::Liveness, Verdict::Failed) => known.is_condemned = true,
            (Kind::Liveness, Verdict::Passed) => {}
        }
    }
}
