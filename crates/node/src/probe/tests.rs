use super::*;
use serde_json::{Value, from_value, json};

/// A pod whose container runs, with these probes, and what is due for it.
fn due_of(container: Value, change: impl FnOnce(&mut Memory, &Pod)) -> Vec<Due> {
    let mut container = container;
    container["name"] = json!("a");
    let pod: Pod = from_value(json!({"metadata": {"uid": "u"}, "spec": {"containers": [container]}})).unwrap();
    let mut memory = Memory::recall(&pod, &[], 0);
    memory.address = Some([10, 0, 0, 1].into());
    memory.containers[0].started(&pod.spec.containers[0], Timestamp::UNIX_EPOCH, 0);
    change(&mut memory, &pod);
    due(&pod, &memory)
}

fn kinds(all: &[Due]) -> Vec<Kind> {
    all.iter().map(|due| due.kind).collect()
}

fn all_three() -> Value {
    let probe = json!({"httpGet": {"port": 80}});
    json!({"startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe})
}

#[test]
fn the_startup_probe_comes_first_and_alone() {
    assert_eq!(kinds(&due_of(all_three(), |_, _| {})), [Kind::Startup]);
    let started = |memory: &mut Memory, pod: &Pod| memory.probed(pod, 0, 0, Kind::Startup, Verdict::Passed);
    assert_eq!(kinds(&due_of(all_three(), started)), [Kind::Liveness, Kind::Readiness]);
}

#[test]
fn nothing_is_probed_that_ends() {
    assert!(due_of(all_three(), |memory, _| memory.begin_end(crate::memory::Why::Deleted, Timestamp::UNIX_EPOCH)).is_empty());
    assert!(due_of(all_three(), |memory, _| memory.containers[0].stopping(true)).is_empty());
    assert!(due_of(all_three(), |memory, pod| memory.probed(pod, 0, 0, Kind::Startup, Verdict::Failed)).is_empty());
}

#[test]
fn fills_in_what_a_probe_does_not_say() {
    let container = json!({"ports": [{"name": "web", "containerPort": 8000}], "livenessProbe": {"httpGet": {"port": "web", "path": "x"}}});
    let all = due_of(container, |_, _| {});
    let target = Target::Http { host: "10.0.0.1".into(), port: 8000, path: "/x".into(), headers: vec![], tls: false };
    assert_eq!((&all[0].target, all[0].period.as_secs(), all[0].timeout.as_secs()), (&target, 10, 1));
    assert_eq!((all[0].success_threshold, all[0].failure_threshold), (1, 3));
}

#[test]
fn says_what_cannot_be_probed() {
    let exec = due_of(json!({"livenessProbe": {"exec": {"command": ["true"]}}}), |_, _| {});
    let unnamed = due_of(json!({"livenessProbe": {"tcpSocket": {"port": "nope"}}}), |_, _| {});
    assert!(matches!(&exec[0].target, Target::Impossible(why) if why.contains("httpGet")));
    assert!(matches!(&unnamed[0].target, Target::Impossible(why) if why.contains("nope")));
}

/// Plays results, `+` and `-`, and writes the verdicts that are told.
fn verdicts(told: Option<Verdict>, success: u32, failure: u32, results: &str) -> String {
    let mut due = due_of(json!({"livenessProbe": {"tcpSocket": {"port": 1}}}), |_, _| {}).remove(0);
    (due.success_threshold, due.failure_threshold) = (success, failure);
    let mut streak = told.map(Streak::told).unwrap_or_default();
    let one = |result| {
        let outcome = if result == '+' { Outcome::Success } else { Outcome::Failure("no".into()) };
        match streak.count(&outcome, &due) {
            Some(Verdict::Passed) => 'P',
            Some(Verdict::Failed) => 'F',
            None => '.',
        }
    };
    results.chars().map(one).collect()
}

#[test]
fn tells_a_verdict_only_when_it_changes() {
    assert_eq!(verdicts(None, 1, 3, "+++--+---+"), "P.......FP");
    assert_eq!(verdicts(None, 2, 1, "+-++-"), ".F.PF");
    assert_eq!(verdicts(Some(Verdict::Passed), 1, 2, "++--"), "...F");
    assert_eq!(verdicts(Some(Verdict::Failed), 1, 1, "--+"), "..P");
}
