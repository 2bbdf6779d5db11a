//! The conditions of a pod's status.
use super::whole_seconds;
use crate::{
    memory::Memory,
    pod::Pod,
    sync::{has_succeeded, is_done},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

struct Condition {
    kind: &'static str,
    is_true: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn yes(kind: &'static str) -> Self {
        Self { kind, is_true: true, reason: "", message: String::new() }
    }

    fn no(kind: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind, is_true: false, reason, message }
    }
}

/// All conditions: ours first, those of others as they are.
pub(super) fn of(pod: &Pod, memory: &Memory, phase: &str, now: Timestamp) -> Value {
    let none = vec![];
    let current = pod.status["conditions"].as_array().unwrap_or(&none);
    let ours = ours(pod, memory, phase, current);
    let mut all: Vec<Value> = ours.iter().map(|condition| write(pod, condition, current, now)).collect();
    all.extend(current.iter().filter(|old| ours.iter().all(|condition| old["type"] != condition.kind)).cloned());
    Value::Array(all)
}

fn ours(pod: &Pod, memory: &Memory, phase: &str, current: &[Value]) -> Vec<Condition> {
    let has_sandbox = memory.address.is_some() && !matches!(phase, "Succeeded" | "Failed");
    let sandbox = if has_sandbox {
        Condition::yes("PodReadyToStartContainers")
    } else {
        Condition::no("PodReadyToStartContainers", "", String::new())
    };
    let containers = containers_ready(pod, memory, phase);
    let ready = ready(pod, &containers, current);
    let mut all = vec![sandbox, initialized(pod, memory, phase), ready, containers];
    if !current.iter().any(|condition| condition["type"] == "PodScheduled") {
        all.push(Condition::yes("PodScheduled"));
    }
    all
}

fn initialized(pod: &Pod, memory: &Memory, phase: &str) -> Condition {
    let inits = pod.spec.init_containers.iter().zip(&memory.containers).enumerate();
    let incomplete: Vec<&str> = inits
        .filter(|(index, (container, known))| {
            let is_up = container.is_sidecar() && known.is_started;
            let is_over = is_done(pod, *index, known) && has_succeeded(known);
            !(is_up || is_over)
        })
        .map(|(_, (container, _))| &*container.name)
        .collect();
    match (incomplete.is_empty(), phase) {
        (true, _) => Condition::yes("Initialized"),
        (false, "Succeeded") => Condition { reason: "PodCompleted", ..Condition::yes("Initialized") },
        (false, _) => {
            let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
            Condition::no("Initialized", "ContainersNotInitialized", message)
        }
    }
}

fn containers_ready(pod: &Pod, memory: &Memory, phase: &str) -> Condition {
    const KIND: &str = "ContainersReady";
    match phase {
        "Succeeded" => return Condition::no(KIND, "PodCompleted", String::new()),
        "Failed" => return Condition::no(KIND, "PodFailed", String::new()),
        _ => {}
    }
    let counts = |index: usize| !pod.is_init(index) || pod.container(index).is_some_and(|container| container.is_sidecar());
    let all = pod.containers().zip(&memory.containers).enumerate().filter(|(index, _)| counts(*index));
    let unready: Vec<&str> = all.filter(|(_, (_, known))| !known.is_ready).map(|(_, (container, _))| &*container.name).collect();
    if unready.is_empty() {
        return Condition::yes(KIND);
    }
    Condition::no(KIND, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn ready(pod: &Pod, containers: &Condition, current: &[Value]) -> Condition {
    if !containers.is_true {
        return Condition { kind: "Ready", message: containers.message.clone(), ..*containers };
    }
    let unmet = pod.spec.readiness_gates.iter().find_map(|gate| {
        let found = current.iter().find(|condition| condition["type"] == *gate.condition_type);
        match found.map(|condition| condition["status"] == "True") {
            Some(true) => None,
            Some(false) => Some(format!("the status of pod readiness gate {:?} is not \"True\", but False", gate.condition_type)),
            None => Some(format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type)),
        }
    });
    match unmet {
        Some(message) => Condition::no("Ready", "ReadinessGatesNotReady", message),
        None => Condition::yes("Ready"),
    }
}

/// Keeps the time of the last change where nothing changed.
fn write(pod: &Pod, condition: &Condition, current: &[Value], now: Timestamp) -> Value {
    let status = if condition.is_true { "True" } else { "False" };
    let old = current.iter().find(|old| old["type"] == condition.kind);
    let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
    let mut written = Map::new();
    written.insert("type".into(), json!(condition.kind));
    written.insert("status".into(), json!(status));
    if pod.metadata.generation > 0 {
        written.insert("observedGeneration".into(), json!(pod.metadata.generation));
    }
    if !condition.reason.is_empty() {
        written.insert("reason".into(), json!(condition.reason));
    }
    if !condition.message.is_empty() {
        written.insert("message".into(), json!(condition.message));
    }
    let since = since.filter(|since| !since.is_null()).unwrap_or_else(|| json!(whole_seconds(now)));
    written.insert("lastTransitionTime".into(), since);
    // Set by whoever wrote it first and absent otherwise; a typed server may keep it as null.
    if let Some(probed) = old.and_then(|old| old.get("lastProbeTime")) {
        written.insert("lastProbeTime".into(), probed.clone());
    }
    Value::Object(written)
}
