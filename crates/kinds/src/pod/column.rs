//! The columns of `kubectl get pods`: how a pod is, in one word, out of everything that its status tells.
use crate::{
    Kind, age,
    column::{count, list, text, text_or},
};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .column("Ready", "string", |pod, _| Summary::of(pod).ready().into())
        .column("Status", "string", |pod, _| Summary::of(pod).reason.into())
        .column("Restarts", "string", |pod, now| Summary::of(pod).restarts(now).into())
        .age_column()
        .wide("IP", "string", |pod, _| ip(pod).into())
        .wide("Node", "string", |pod, _| text_or(pod, "/spec/nodeName", "<none>").into())
        .wide("Nominated Node", "string", |pod, _| text_or(pod, "/status/nominatedNodeName", "<none>").into())
        .wide("Readiness Gates", "string", |pod, _| gates(pod).into())
}

/// What the columns say, gathered in one walk over the container statuses.
#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let sidecars = list(pod, "/spec/initContainers").iter().filter(|c| is_sidecar(c)).count();
        let mut summary = Self { total: list(pod, "/spec/containers").len() + sidecars, ..Self::default() };
        summary.reason = text_or(pod, "/status/reason", text_or(pod, "/status/phase", "")).into();
        if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
            summary.reason = "SchedulingGated".into();
        }
        let initializing = summary.walk_init(pod);
        if !initializing || is_true(pod, "Initialized") {
            summary.walk_main(pod);
        }
        if pod.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string) {
            let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
            if text(pod, "/status/reason") == "NodeLost" {
                summary.reason = "Unknown".into();
            } else if !ended {
                summary.reason = "Terminating".into();
            }
        }
        summary
    }

    /// True when an init container still holds the pod up; then the reason tells which.
    fn walk_init(&mut self, pod: &Value) -> bool {
        let specs = list(pod, "/spec/initContainers");
        for (at, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(status);
            let sidecar = specs.iter().any(|spec| spec["name"] == status["name"] && is_sidecar(spec));
            let (terminated, waiting) = (&status["state"]["terminated"], &status["state"]["waiting"]);
            if terminated.is_object() && count(terminated, "/exitCode") == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = match text(waiting, "/reason") {
                _ if terminated.is_object() => format!("Init:{}", ending(terminated)),
                "" | "PodInitializing" => format!("Init:{at}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            };
            return true;
        }
        false
    }

    fn walk_main(&mut self, pod: &Value) {
        let specs = list(pod, "/spec/initContainers");
        let is_sidecar_status = |status: &Value| specs.iter().any(|spec| spec["name"] == status["name"] && is_sidecar(spec));
        // What init containers needed to get through is history now; sidecars live on.
        (self.restarts, self.last_restart) = (0, None);
        list(pod, "/status/initContainerStatuses")
            .iter()
            .filter(|status| is_sidecar_status(status))
            .for_each(|status| self.count_restarts(status));
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let state = &status["state"];
            let waiting = text(state, "/waiting/reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if state["terminated"].is_object() {
                self.reason = ending(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if is_true(pod, "Ready") { "Running" } else { "NotReady" }.into();
        }
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += count(status, "/restartCount");
        let ended = text(status, "/lastState/terminated/finishedAt").parse().ok();
        self.last_restart = self.last_restart.max(ended);
    }

    fn ready(&self) -> String {
        format!("{}/{}", self.ready, self.total)
    }

    fn restarts(&self, now: Timestamp) -> String {
        match self.last_restart {
            Some(last) if self.restarts > 0 => {
                format!("{} ({} ago)", self.restarts, age::since(last, now))
            }
            _ => self.restarts.to_string(),
        }
    }
}

/// Why a container ended: its reason, or its signal, or its exit code.
fn ending(terminated: &Value) -> String {
    match (text(terminated, "/reason"), count(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", count(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

fn condition<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions").iter().find(|condition| condition["type"] == name)
}

fn is_true(pod: &Value, name: &str) -> bool {
    condition(pod, name).is_some_and(|condition| condition["status"] == "True")
}

fn ip(pod: &Value) -> &str {
    text_or(pod, "/status/podIPs/0/ip", text_or(pod, "/status/podIP", "<none>"))
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    let open = gates.iter().filter(|gate| gate["conditionType"].as_str().is_some_and(|name| is_true(pod, name))).count();
    if gates.is_empty() { "<none>".into() } else { format!("{open}/{}", gates.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-01-01T01:00:00Z";

    /// `Ready Status Restarts` of a pod with the given containers, init containers and status.
    #[track_caller]
    fn check(init: Value, status: Value, said: &str) {
        check_pod(json!({"spec": {"containers": [{"name": "c"}], "initContainers": init}, "status": status}), said);
    }

    #[track_caller]
    fn check_pod(pod: Value, said: &str) {
        let summary = Summary::of(&pod);
        assert_eq!(format!("{} {} {}", summary.ready(), summary.reason, summary.restarts(NOW.parse().unwrap())), said, "{pod}");
    }

    fn state(state: Value) -> Value {
        json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": state}]})
    }

    #[test]
    fn a_word_tells_how_the_pod_is() {
        check(json!([]), json!({"phase": "Pending"}), "0/1 Pending 0");
        check(json!([]), json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0");
        check(json!([]), state(json!({"waiting": {"reason": "ContainerCreating"}})), "0/1 ContainerCreating 0");
        check(json!([]), state(json!({"waiting": {"reason": "CrashLoopBackOff"}})), "0/1 CrashLoopBackOff 0");
        check(json!([]), state(json!({"terminated": {"reason": "Error", "exitCode": 1}})), "0/1 Error 0");
        check(json!([]), state(json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}})), "0/1 OOMKilled 0");
        check(json!([]), state(json!({"terminated": {"exitCode": 137}})), "0/1 ExitCode:137 0");
        check(json!([]), state(json!({"terminated": {"exitCode": 137, "signal": 9}})), "0/1 Signal:9 0");
        check(json!([]), state(json!({"terminated": {"reason": "Completed", "exitCode": 0}})), "0/1 Completed 0");
    }

    #[test]
    fn restarts_say_how_long_ago() {
        let running = |more: Value| {
            let mut status = json!({"name": "c", "ready": true, "state": {"running": {}}});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"phase": "Running", "containerStatuses": [status]})
        };
        check(json!([]), running(json!({"restartCount": 0})), "1/1 Running 0");
        check(json!([]), running(json!({"restartCount": 2})), "1/1 Running 2");
        let last = json!({"restartCount": 2, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:57:00Z"}}});
        check(json!([]), running(last), "1/1 Running 2 (3m ago)");
    }

    #[test]
    fn init_containers_come_first() {
        let init = json!([{"name": "a"}, {"name": "b"}]);
        let with = |state: Value| json!({"phase": "Pending", "initContainerStatuses": [{"name": "a", "state": state}, {"name": "b", "state": {"waiting": {"reason": "PodInitializing"}}}], "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}]});
        check(init.clone(), with(json!({"running": {}})), "0/1 Init:0/2 0");
        check(init.clone(), with(json!({"terminated": {"exitCode": 0}})), "0/1 Init:1/2 0");
        check(init.clone(), with(json!({"terminated": {"exitCode": 2}})), "0/1 Init:ExitCode:2 0");
        check(init.clone(), with(json!({"terminated": {"exitCode": 2, "reason": "Error"}})), "0/1 Init:Error 0");
        check(init, with(json!({"waiting": {"reason": "CrashLoopBackOff"}})), "0/1 Init:CrashLoopBackOff 0");
        let sidecar = json!([{"name": "a", "restartPolicy": "Always"}]);
        let ready = json!({"phase": "Running", "initContainerStatuses": [{"name": "a", "started": true, "ready": true, "restartCount": 1}], "containerStatuses": [{"name": "c", "ready": true, "state": {"running": {}}}]});
        check(sidecar, ready, "2/2 Running 1");
    }

    #[test]
    fn deletion_and_gates_outweigh_the_phase() {
        let deleting = json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"containers": [{}]}, "status": {"phase": "Running"}});
        check_pod(deleting, "0/1 Terminating 0");
        let ended = json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"containers": [{}]}, "status": {"phase": "Succeeded"}});
        check_pod(ended, "0/1 Succeeded 0");
        let lost = json!({"metadata": {"deletionTimestamp": NOW}, "spec": {"containers": [{}]}, "status": {"phase": "Running", "reason": "NodeLost"}});
        check_pod(lost, "0/1 Unknown 0");
        let gated = json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}});
        check_pod(gated, "0/2 SchedulingGated 0");
    }
}
