use super::*;
use crate::{
    memory::{Memory, Trouble},
    pod::Ended,
};
use jiff::SignedDuration;
use serde_json::from_value;

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(s).unwrap()
}

fn pod(spec: Value) -> (Pod, Memory) {
    let meta = json!({"name": "web", "namespace": "shop", "uid": "u", "generation": 1});
    let pod: Pod = from_value(json!({"metadata": meta, "spec": spec})).unwrap();
    let mut memory = Memory::recall(&pod, &[], 0);
    (memory.address, memory.started_at) = (Some([10, 0, 0, 1].into()), Some(at(0)));
    (pod, memory)
}

fn one(policy: &str) -> (Pod, Memory) {
    pod(json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]}))
}

fn ended(code: i32) -> State {
    let (reason, container_id) = (if code == 0 { "Completed" } else { "Error" }.into(), "knarr://u/a/0".into());
    State::Ended(Box::new(Ended {
        exit_code: code,
        reason,
        container_id,
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        ..Ended::default()
    }))
}

fn start(pod: &Pod, memory: &mut Memory, index: usize) {
    memory.containers[index].started(pod.container(index).unwrap(), at(1), 0);
}

fn status(pod: &Pod, memory: &Memory, now: Timestamp) -> Value {
    Value::Object(of(pod, memory, Host { address: [192, 0, 2, 1].into() }, now))
}

/// `Ready=False ContainersNotReady` and so on, without the times.
fn conditions_of(status: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = status["conditions"].as_array().unwrap().iter();
    all.map(|c| format!("{}={} {}", text(&c["type"]), text(&c["status"]), text(&c["reason"])).trim_end().to_owned()).collect()
}

#[test]
fn a_pod_that_runs_says_so() {
    let (pod, mut memory) = one("Always");
    start(&pod, &mut memory, 0);
    let status = status(&pod, &memory, at(1));
    let address = (&status["podIP"], &status["podIPs"], &status["hostIP"], &status["startTime"]);
    assert_eq!(address, (&json!("10.0.0.1"), &json!([{"ip": "10.0.0.1"}]), &json!("192.0.2.1"), &json!("1970-01-01T00:00:00Z")));
    assert_eq!(
        (&status["phase"], &status["qosClass"], &status["observedGeneration"]),
        (&json!("Running"), &json!("BestEffort"), &json!(1))
    );
    assert_eq!(
        conditions_of(&status),
        ["PodReadyToStartContainers=True", "Initialized=True", "Ready=True", "ContainersReady=True", "PodScheduled=True"]
    );
    let container = &status["containerStatuses"][0];
    assert_eq!(container["state"], json!({"running": {"startedAt": "1970-01-01T00:00:01Z"}}));
    assert_eq!(
        (&container["ready"], &container["started"], &container["containerID"]),
        (&json!(true), &json!(true), &json!("knarr://u/a/0"))
    );
}

#[test]
fn nothing_is_written_that_is_true_already() {
    let (mut pod, mut memory) = one("Always");
    start(&pod, &mut memory, 0);
    let host = Host { address: [192, 0, 2, 1].into() };
    pod.status = changes(&pod, &memory, host, at(1)).unwrap();
    assert_eq!(changes(&pod, &memory, host, at(500)), None);
    memory.containers[0].is_ready = false;
    let changed = changes(&pod, &memory, host, at(500)).unwrap();
    assert_eq!(changed.as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions", "containerStatuses"]);
}

#[test]
fn the_phase_follows_the_containers() {
    type Case<'a> = (&'a str, &'a [i32], bool, &'a str);
    // -2: never started, -1: runs, others: ended with that code.
    let cases: &[Case] = &[
        ("Always", &[-2], false, "Pending"),
        ("Always", &[-1], false, "Running"),
        ("Always", &[-1, -2], false, "Pending"),
        ("Always", &[1], false, "Running"),
        ("Always", &[0, -1], false, "Running"),
        ("OnFailure", &[0], false, "Succeeded"),
        ("OnFailure", &[1], false, "Running"),
        ("OnFailure", &[0, 1], false, "Running"),
        ("Never", &[0, 0], false, "Succeeded"),
        ("Never", &[0, 1], false, "Failed"),
        ("Never", &[0, -1], false, "Running"),
        ("Always", &[0], true, "Succeeded"),
        ("Always", &[137], true, "Failed"),
        ("Always", &[-1], true, "Running"),
    ];
    for (policy, states, is_deleted, expected) in cases {
        let containers: Vec<_> = (0..states.len()).map(|i| json!({"name": format!("c{i}"), "image": "i"})).collect();
        let (pod, mut memory) = pod(json!({"restartPolicy": policy, "containers": containers}));
        for (index, state) in states.iter().enumerate() {
            match state {
                -2 => {}
                -1 => start(&pod, &mut memory, index),
                code => memory.containers[index].state = ended(*code),
            }
        }
        if *is_deleted {
            memory.begin_end(Why::Deleted, at(3));
        }
        assert_eq!(phase(&pod, &memory), *expected, "{policy} {states:?} deleted={is_deleted}");
    }
}

#[test]
fn a_final_phase_stays_with_the_reason_that_somebody_gave() {
    let (mut pod, mut memory) = one("Always");
    start(&pod, &mut memory, 0);
    pod.status = json!({"phase": "Failed", "reason": "Evicted"});
    let status = status(&pod, &memory, at(3));
    assert_eq!((&status["phase"], status.get("reason")), (&json!("Failed"), None));
}

#[test]
fn a_deadline_is_a_failure_that_says_why() {
    let (pod, mut memory) = one("Always");
    start(&pod, &mut memory, 0);
    memory.begin_end(Why::DeadlineExceeded, at(3));
    let status = status(&pod, &memory, at(3));
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
}

/// The state of the first container, after its memory was changed.
fn state_after(change: impl FnOnce(&mut crate::memory::Known)) -> Value {
    let (pod, mut memory) = one("Always");
    change(&mut memory.containers[0]);
    status(&pod, &memory, at(9))["containerStatuses"][0].clone()
}

#[test]
fn a_waiting_container_says_what_it_waits_for() {
    assert_eq!(state_after(|_| {})["state"], json!({"waiting": {"reason": "ContainerCreating"}}));
    let trouble = |reason, message: &str, told| {
        let mut trouble = Trouble::after(None, reason, message.into(), at(1));
        trouble.told = told;
        Some(Box::new(trouble))
    };
    let missing = state_after(|known| known.trouble = trouble("CreateContainerConfigError", "configmap \"x\" not found", false));
    assert_eq!(missing["state"]["waiting"], json!({"reason": "CreateContainerConfigError", "message": "configmap \"x\" not found"}));
    let failed = state_after(|known| known.trouble = trouble("ErrImagePull", "no", false));
    assert_eq!(failed["state"]["waiting"], json!({"reason": "ErrImagePull", "message": "no"}));
    let waiting = state_after(|known| known.trouble = trouble("ErrImagePull", "no", true));
    assert_eq!(
        waiting["state"]["waiting"],
        json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image \"i\": ErrImagePull: no"})
    );
}

#[test]
fn a_crash_loop_shows_its_wait_and_how_the_last_one_ended() {
    let container = state_after(|known| {
        known.state = ended(1);
        known.attempt = 3;
        known.crashes = known.crashes.next(at(1), at(1)).next(at(1), at(1)).next(at(1), at(1)).next(at(1), at(1));
    });
    let message = "back-off 1m20s restarting failed container=a pod=web_shop(u)";
    assert_eq!(container["state"], json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}));
    let terminated = json!({"exitCode": 1, "reason": "Error", "startedAt": "1970-01-01T00:00:01Z", "finishedAt": "1970-01-01T00:00:02Z", "containerID": "knarr://u/a/0"});
    assert_eq!((&container["lastState"]["terminated"], &container["restartCount"]), (&terminated, &json!(3)));
}

#[test]
fn a_trap_shows_in_the_terminated_state() {
    let (pod, mut memory) = one("Never");
    let ended = Ended { exit_code: 134, reason: "Error".into(), message: "wasm trap: unreachable".into(), ..Ended::default() };
    memory.containers[0].state = State::Ended(Box::new(ended));
    let status = status(&pod, &memory, at(9));
    let said = json!({"terminated": {"exitCode": 134, "reason": "Error", "message": "wasm trap: unreachable"}});
    assert_eq!((&status["containerStatuses"][0]["state"], &status["phase"]), (&said, &json!("Failed")));
}

#[test]
fn init_containers_hold_up_the_others() {
    let spec = json!({"initContainers": [{"name": "i", "image": "i"}], "containers": [{"name": "a", "image": "i"}]});
    let (pod, mut memory) = pod(spec);
    start(&pod, &mut memory, 0);
    let before = status(&pod, &memory, at(1));
    assert_eq!(before["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(before["initContainerStatuses"][0]["ready"], false);
    assert_eq!(conditions_of(&before)[1], "Initialized=False ContainersNotInitialized");
    memory.containers[0].state = ended(0);
    let after = status(&pod, &memory, at(2));
    assert_eq!((&after["initContainerStatuses"][0]["ready"], &after["phase"]), (&json!(true), &json!("Pending")));
    assert_eq!(conditions_of(&after)[1], "Initialized=True");
    assert_eq!(after["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
}

#[test]
fn unready_containers_are_named() {
    let (pod, mut memory) = pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}));
    start(&pod, &mut memory, 0);
    let status = status(&pod, &memory, at(1));
    let ready = &status["conditions"][2];
    assert_eq!((&ready["reason"], &ready["message"]), (&json!("ContainersNotReady"), &json!("containers with unready status: [b]")));
}

#[test]
fn a_finished_pod_is_not_ready_because_it_is_done() {
    let (pod, mut memory) = one("Never");
    memory.containers[0].state = ended(0);
    memory.cleaned();
    let status = status(&pod, &memory, at(3));
    assert_eq!(
        conditions_of(&status),
        [
            "PodReadyToStartContainers=False",
            "Initialized=True",
            "Ready=False PodCompleted",
            "ContainersReady=False PodCompleted",
            "PodScheduled=True"
        ]
    );
    assert_eq!(status.get("podIP"), None, "the status keeps the address that it had");
}

#[test]
fn conditions_keep_their_time_and_those_of_others_stay() {
    let (mut pod, mut memory) = one("Always");
    start(&pod, &mut memory, 0);
    let disruption = json!({"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "1970-01-01T00:00:07Z"});
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"});
    let mut first = status(&pod, &memory, at(1));
    first["conditions"].as_array_mut().unwrap().retain(|c| c["type"] != "PodScheduled");
    first["conditions"].as_array_mut().unwrap().extend([scheduled, disruption]);
    pod.status = first;
    memory.containers[0].is_ready = false;
    let then = status(&pod, &memory, at(1) + SignedDuration::from_secs(60));
    assert_eq!(conditions_of(&then)[4..], ["PodScheduled=True", "DisruptionTarget=True"]);
    assert_eq!(
        (&then["conditions"][1]["lastTransitionTime"], &then["conditions"][2]["lastTransitionTime"]),
        (&json!("1970-01-01T00:00:01Z"), &json!("1970-01-01T00:01:01Z"))
    );
}

#[test]
fn readiness_gates_have_a_say() {
    let (mut pod, mut memory) = pod(json!({"readinessGates": [{"conditionType": "x/y"}], "containers": [{"name": "a", "image": "i"}]}));
    start(&pod, &mut memory, 0);
    assert_eq!(conditions_of(&status(&pod, &memory, at(1)))[2..4], ["Ready=False ReadinessGatesNotReady", "ContainersReady=True"]);
    pod.status = json!({"conditions": [{"type": "x/y", "status": "True"}]});
    assert_eq!(conditions_of(&status(&pod, &memory, at(1)))[2], "Ready=True");
}

#[test]
fn the_quality_of_service_is_what_resources_say() {
    let class = |resources: Value| {
        let (pod, _) = pod(json!({"containers": [{"name": "a", "resources": resources}]}));
        quality::class_of(&pod)
    };
    assert_eq!(class(json!({})), "BestEffort");
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({"limits": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}})), "Guaranteed");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})), "Burstable");
}
