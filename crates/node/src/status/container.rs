//! The status of one container.
use super::whole_seconds;
use crate::{
    memory::{Known, Memory, State, container_id},
    pod::{Container, Ended, Pod},
    sync::{has_succeeded, is_done},
};
use serde_json::{Value, json};

pub(super) fn container_status(pod: &Pod, memory: &Memory, index: usize) -> Option<Value> {
    let (container, known) = (pod.container(index)?, memory.containers.get(index)?);
    let uid = &pod.metadata.uid;
    let (state, last) = states(pod, memory, index, container, known);
    let id = match &known.state {
        State::Never => known.last.as_ref().map(|last| last.container_id.clone()).unwrap_or_default(),
        State::Running { .. } => container_id(uid, &container.name, known.attempt),
        State::Ended(ended) => ended.container_id.clone(),
    };
    // A plain init container is ready once it has done its work.
    let is_done_init = pod.is_init(index) && !container.is_sidecar() && is_done(pod, index, known) && has_succeeded(known);
    let mut status = json!({
        "name": container.name,
        "image": known.image.as_deref().unwrap_or(&container.image),
        "imageID": known.image_id.as_deref().unwrap_or_default(),
        "ready": known.is_ready && (!pod.is_init(index) || container.is_sidecar()) || is_done_init,
        "started": known.is_running() && known.is_started,
        "restartCount": known.attempt,
        "state": state,
        "lastState": last.map_or_else(|| json!({}), |ended| json!({"terminated": terminated(ended)})),
    });
    if !id.is_empty() {
        status["containerID"] = json!(id);
    }
    Some(status)
}

/// What it does now, and how its predecessor ended.
fn states<'a>(pod: &Pod, memory: &Memory, index: usize, container: &Container, known: &'a Known) -> (Value, Option<&'a Ended>) {
    match &known.state {
        State::Running { since, .. } => (json!({"running": {"startedAt": whole_seconds(*since)}}), known.last.as_deref()),
        State::Ended(ended) if memory.ending.is_some() || is_done(pod, index, known) => {
            (json!({"terminated": terminated(ended)}), known.last.as_deref())
        }
        State::Ended(ended) => (waiting(pod, memory, index, container, known), Some(ended)),
        State::Never => (waiting(pod, memory, index, container, known), known.last.as_deref()),
    }
}

fn terminated(ended: &Ended) -> Value {
    let mut value = json!({"exitCode": ended.exit_code, "reason": ended.reason});
    for (field, time) in [("startedAt", ended.started_at), ("finishedAt", ended.finished_at)] {
        if let Some(time) = time {
            value[field] = json!(whole_seconds(time));
        }
    }
    for (field, text) in [("message", &ended.message), ("containerID", &ended.container_id)] {
        if !text.is_empty() {
            value[field] = json!(text);
        }
    }
    value
}

fn waiting(pod: &Pod, memory: &Memory, index: usize, container: &Container, known: &Known) -> Value {
    // With the image here it is being tried again.
    if let Some(trouble) = known.trouble.as_ref().filter(|_| known.here.is_none()) {
        if trouble.reason == "ErrImagePull" && trouble.told {
            let message = format!("Back-off pulling image {:?}: {}: {}", container.image, trouble.reason, trouble.message);
            return json!({"waiting": {"reason": "ImagePullBackOff", "message": message}});
        }
        return json!({"waiting": {"reason": trouble.reason, "message": trouble.message}});
    }
    if known.ended().is_some() {
        let wait_s = known.crashes.wait_s();
        if wait_s > 0 {
            let wait = if wait_s >= 60 { format!("{}m{}s", wait_s / 60, wait_s % 60) } else { format!("{wait_s}s") };
            let message = format!("back-off {wait} restarting failed container={} pod={}", container.name, pod.full_name());
            return json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        }
    }
    let inits_done = pod.spec.init_containers.iter().zip(&memory.containers).enumerate().all(|(index, (container, known))| {
        (container.is_sidecar() && known.is_started) || (is_done(pod, index, known) && has_succeeded(known))
    });
    let is_first = pod.spec.init_containers.is_empty() || (!pod.is_init(index) && inits_done);
    json!({"waiting": {"reason": if is_first { "ContainerCreating" } else { "PodInitializing" }}})
}
