use super::*;
use knarr_runtime::State as Seen;
use serde_json::{from_value, json};

fn pod() -> Pod {
    from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [{"name": "a", "image": "i"}]}})).unwrap()
}

fn seen(attempt: u32, state: Seen) -> Observed {
    Observed { id: ContainerId::new("u", "a", attempt), pod_uid: "u".into(), name: "a".into(), attempt, state }
}

fn exited(code: i32) -> Seen {
    Seen::Exited { code, reason: "Error".into(), message: "trap".into(), started_at_ms: 1000, finished_at_ms: 2000 }
}

/// A pod whose container was started while look 5 was under way.
fn started() -> Memory {
    let pod = pod();
    let mut memory = Memory::recall(&pod, &[], 0);
    memory.containers[0].started(&pod.spec.containers[0], Timestamp::UNIX_EPOCH, 5);
    memory
}

#[test]
fn a_look_that_began_before_a_start_is_no_news_of_it() {
    let memory = started();
    for (look, is_news) in [(4, false), (5, false), (6, true)] {
        assert_eq!(memory.would_see("u", &[], look), is_news, "look {look}");
    }
    assert!(!memory.would_see("u", &[seen(0, Seen::Running { started_at_ms: 0 })], 6));
}

#[test]
fn sees_how_a_container_ended() {
    let mut memory = started();
    memory.see("u", &[seen(0, exited(134))], 6, Timestamp::UNIX_EPOCH);
    let ended = memory.containers[0].ended().unwrap();
    assert_eq!((ended.exit_code, &*ended.reason, &*ended.message, &*ended.container_id), (134, "Error", "trap", "knarr://u/a/0"));
    assert_eq!(ended.finished_at, Some(Timestamp::from_second(2).unwrap()));
    assert!(!memory.containers[0].is_ready);
}

#[test]
fn a_container_that_vanished_is_lost() {
    let mut memory = started();
    let now = Timestamp::from_second(9).unwrap();
    memory.see("u", &[], 6, now);
    let ended = memory.containers[0].ended().unwrap();
    assert_eq!((ended.exit_code, &*ended.reason, ended.finished_at), (137, "ContainerStatusUnknown", Some(now)));
}

#[test]
fn the_end_of_an_earlier_attempt_says_nothing_of_this_one() {
    let mut memory = started();
    memory.containers[0].attempt = 1;
    let both = [seen(0, exited(1)), seen(1, Seen::Running { started_at_ms: 0 })];
    assert!(!memory.would_see("u", &both, 6));
}

#[test]
fn a_restart_remembers_how_the_one_before_ended() {
    let mut memory = started();
    memory.see("u", &[seen(0, exited(7))], 6, Timestamp::UNIX_EPOCH);
    memory.containers[0].started(&pod().spec.containers[0], Timestamp::UNIX_EPOCH, 6);
    let known = &memory.containers[0];
    assert_eq!((known.attempt, known.last.as_ref().unwrap().exit_code, known.is_ready), (1, 7, true));
}

#[test]
fn recalls_a_container_in_back_off_from_its_status() {
    let mut pod = pod();
    let last = json!({"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": "1970-01-01T00:00:05Z"}});
    let status = json!({"name": "a", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last});
    pod.status = json!({ "containerStatuses": [status] });
    let known = &Memory::recall(&pod, &[], 0).containers[0];
    assert_eq!((known.attempt, known.next_attempt(), known.ended().unwrap().exit_code), (4, 5, 3));
}

#[test]
fn deletion_overrides_every_other_end_and_nothing_overrides_it() {
    let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(1).unwrap());
    let mut memory = started();
    memory.begin_end(Why::Finished, early);
    memory.begin_end(Why::Deleted, late);
    memory.begin_end(Why::DeadlineExceeded, late);
    assert_eq!(memory.ending.unwrap(), Ending { why: Why::Deleted, since: late, unrouted_at: None });
}
