//! The status that a pod shall have: from its spec, what is remembered of it and what its status says now. Pure.
mod conditions;
mod container;
mod quality;
#[cfg(test)]
mod tests;

use crate::{
    memory::{Memory, State, Why},
    pod::{Pod, RestartPolicy},
    sync::{has_succeeded, is_done, is_over},
};
use container::container_status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// What a pod's status says of its node.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    pub address: IpAddr,
}

/// The fields of the status that differ from what it says now; None: it is true already.
pub fn changes(pod: &Pod, memory: &Memory, host: Host, now: Timestamp) -> Option<Value> {
    let mut wanted = of(pod, memory, host, now);
    let current = pod.status.as_object();
    wanted.retain(|field, value| current.and_then(|current| current.get(field)) != Some(value));
    if wanted.is_empty() { None } else { Some(Value::Object(wanted)) }
}

/// The whole status, as far as the node writes it.
fn of(pod: &Pod, memory: &Memory, host: Host, now: Timestamp) -> Map<String, Value> {
    let mut status = Map::new();
    let mut set = |field: &str, value: Value| status.insert(field.into(), value);
    let phase = phase(pod, memory);
    set("phase", json!(phase));
    if let Some((reason, message)) = why_failed(pod, memory) {
        set("reason", json!(reason));
        set("message", json!(message));
    }
    set("hostIP", json!(host.address));
    set("hostIPs", json!([{"ip": host.address}]));
    if let Some(address) = memory.address {
        set("podIP", json!(address));
        set("podIPs", json!([{"ip": address}]));
    }
    if let Some(started_at) = memory.started_at {
        set("startTime", json!(whole_seconds(started_at)));
    }
    if pod.status.get("qosClass").is_none() {
        set("qosClass", json!(quality::class_of(pod)));
    }
    if pod.metadata.generation > 0 {
        set("observedGeneration", json!(pod.metadata.generation));
    }
    set("conditions", conditions::of(pod, memory, phase, now));
    let init = pod.spec.init_containers.len();
    let statuses: Vec<Value> = (0..memory.containers.len()).filter_map(|index| container_status(pod, memory, index)).collect();
    let (inits, mains) = statuses.split_at(init.min(statuses.len()));
    if !inits.is_empty() {
        set("initContainerStatuses", json!(inits));
    }
    set("containerStatuses", json!(mains));
    status
}

fn why_failed(pod: &Pod, memory: &Memory) -> Option<(&'static str, &'static str)> {
    let said = pod.status["phase"].as_str().is_some_and(is_final);
    (!said && memory.ending.is_some_and(|ending| ending.why == Why::DeadlineExceeded))
        .then_some(("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
}

fn is_final(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// A phase that is final stays, whoever wrote it.
pub fn phase(pod: &Pod, memory: &Memory) -> &'static str {
    match pod.status["phase"].as_str() {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ => {}
    }
    if memory.ending.is_some_and(|ending| ending.why == Why::DeadlineExceeded) {
        return "Failed";
    }
    let init = pod.spec.init_containers.len();
    let Some((inits, mains)) = memory.containers.split_at_checked(init) else { return "Pending" };
    // A pod that is deleted ends as a whole: what its containers would do otherwise no longer counts.
    if memory.ending.is_some() && !memory.any_running() && mains.iter().all(|known| known.ended().is_some()) {
        return if mains.iter().all(has_succeeded) { "Succeeded" } else { "Failed" };
    }
    if is_over(pod, memory) {
        let failed = inits.iter().chain(mains).enumerate().any(|(index, known)| is_done(pod, index, known) && !has_succeeded(known));
        return if failed { "Failed" } else { "Succeeded" };
    }
    let waits = |state: &State| *state == State::Never;
    if mains.iter().any(|known| waits(&known.state)) {
        return "Pending";
    }
    let policy = pod.spec.restart_policy;
    let running = mains.iter().any(|known| known.is_running());
    if running || policy == RestartPolicy::Always || mains.iter().any(|known| !has_succeeded(known)) { "Running" } else { "Pending" }
}

/// Times in the API have no fractions.
fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
