use super::*;
use crate::said::said;
use knarr_machinery::Status;
use serde_json::from_value;

const UID: &str = "set-uid";

fn set(spec: &Value, status: &Value) -> Arc<ReplicaSet> {
    let mut object = json!({"metadata": {"name": "web", "namespace": "default", "uid": UID, "generation": 1}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {}}}, "status": status});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    Arc::new(from_value(object).unwrap())
}

/// A pod from a few words: its name, then any of `ready`, `leaving`, `on=NODE`, `cost=N`, `since=SECOND`, `restarts=N`, a phase.
fn pod(words: &str) -> Arc<Pod> {
    let mut words = words.split(' ');
    let name = words.next().unwrap();
    let mut pod = json!({"metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "a"}, "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"nodeName": "w"}, "status": {"phase": "Running"}});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ready", _) => {
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}])
            }
            ("since", second) => {
                let at = Timestamp::from_second(second.parse().unwrap()).unwrap();
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
            }
            ("leaving", _) => pod["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z"),
            ("on", "") => pod["spec"]["nodeName"] = Value::Null,
            ("on", node) => pod["spec"]["nodeName"] = json!(node),
            ("cost", cost) => pod["metadata"]["annotations"] = json!({COST: cost}),
            ("restarts", count) => {
                pod["status"]["containerStatuses"] = json!([{"name": "c", "restartCount": count.parse::<i32>().unwrap()}])
            }
            (phase, _) => pod["status"]["phase"] = json!(phase),
        }
    }
    Arc::new(from_value(pod).unwrap())
}

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn look(set: Arc<ReplicaSet>, pods: &[&str]) -> Look {
    Look {
        selector: selector(&set).unwrap(),
        set,
        pods: pods.iter().map(|words| pod(words)).collect(),
        orphans: vec![],
        strays: vec![],
        related: vec![],
    }
}

/// What is done about `replicas` and these pods, as a person would say it.
fn plan(replicas: i32, pods: &[&str]) -> String {
    said(&ReplicaSets.reconcile(&look(set(&json!({"replicas": replicas}), &json!({})), pods), Timestamp::UNIX_EPOCH))
}

/// The status that is written when there is nothing else to do.
fn status(spec: &Value, now: i64, pods: &[&str]) -> Value {
    let plan = ReplicaSets.reconcile(&look(set(spec, &json!({})), pods), Timestamp::from_second(now).unwrap());
    let Some(Action::Status { patch, .. }) = plan.actions.into_iter().next() else { panic!("no status") };
    let mut status = patch["status"].clone();
    status.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    status
}

fn victims(pods: &[&str]) -> String {
    let pods: Vec<_> = pods.iter().map(|words| pod(words)).collect();
    let live: Vec<&Pod> = pods.iter().map(|pod| &**pod).collect();
    victims::least_useful_first(&live, &[]).iter().map(|pod| &*pod.metadata.name).collect::<Vec<_>>().join(" ")
}

#[test]
fn makes_what_is_missing() {
    assert_eq!(plan(3, &["a ready"]), "create pods web-*, create pods web-*");
}

#[test]
fn deletes_what_is_surplus() {
    assert_eq!(plan(1, &["a ready", "b", "c ready"]), "delete pods b, delete pods a");
}

#[test]
fn does_not_count_the_ended_and_the_leaving() {
    assert_eq!(plan(1, &["a Failed", "b Succeeded", "c leaving ready"]), "create pods web-*");
    assert_eq!(plan(0, &["a Failed", "b Succeeded", "c leaving ready"]), "status replicasets web");
}

#[test]
fn counts_and_leaves_out_zeros() {
    for (spec, now, pods, expected) in [
        (json!({"replicas": 0}), 0, &[][..], json!({"observedGeneration": 1, "replicas": 0, "terminatingReplicas": 0})),
        (
            json!({"replicas": 2}),
            2_000_000_000,
            &["a ready", "b", "c leaving"][..],
            json!({"observedGeneration": 1, "replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 1, "availableReplicas": 1, "terminatingReplicas": 1}),
        ),
        (
            json!({"replicas": 1, "minReadySeconds": 60, "template": {"metadata": {"labels": {"app": "a", "more": "y"}}, "spec": {}}}),
            59,
            &["a since=0"][..],
            json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "terminatingReplicas": 0}),
        ),
    ] {
        assert_eq!(status(&spec, now, pods), expected);
    }
}

#[test]
fn looks_again_when_a_pod_becomes_available() {
    let look = look(set(&json!({"minReadySeconds": 60}), &json!({})), &["a since=0"]);
    let plan = ReplicaSets.reconcile(&look, Timestamp::from_second(20).unwrap());
    assert_eq!(plan.again_in, Some(Duration::from_secs(40)));
}

#[test]
fn writes_no_status_twice() {
    let status = json!({"observedGeneration": 1, "replicas": 0, "terminatingReplicas": 0});
    let look = look(set(&json!({"replicas": 0}), &status), &[]);
    assert_eq!(ReplicaSets.reconcile(&look, Timestamp::UNIX_EPOCH), Plan::nothing());
}

#[test]
fn a_refused_pod_is_a_condition_and_goes_when_all_is_well() {
    let mut look = look(set(&json!({}), &json!({})), &[]);
    let refused = Status::forbidden(&Pod::resource(), "web-x", "exceeded quota: q");
    let failure = Failure { action: ReplicaSets.reconcile(&look, Timestamp::UNIX_EPOCH).actions.remove(0), status: refused };
    let note = ReplicaSets.failed(&look, &[failure], Timestamp::UNIX_EPOCH);
    let Action::Status { patch, .. } = &note.actions[0] else { panic!("no status") };
    assert_eq!(patch["status"]["conditions"][0]["reason"], "FailedCreate");
    assert_eq!(patch["status"]["conditions"][0]["message"], "pods \"web-x\" is forbidden: exceeded quota: q");
    let mut written = patch["status"].clone();
    written.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    look.set = set(&json!({}), &written);
    look.pods = vec![pod("a ready")];
    let plan = ReplicaSets.reconcile(&look, Timestamp::UNIX_EPOCH);
    let Action::Status { patch, .. } = &plan.actions[0] else { panic!("no status") };
    assert_eq!(patch["status"]["conditions"], Value::Null);
}

#[test]
fn takes_over_orphans_before_it_makes_new_ones() {
    let entry = |json: Value| Arc::new(Entry::read(knarr_machinery::Revision(7), serde_json::to_vec(&json).unwrap().into()).unwrap());
    let mut look = look(set(&json!({"replicas": 3}), &json!({})), &[]);
    look.orphans = vec![entry(json!({"metadata": {"name": "x", "namespace": "default", "uid": "x", "labels": {"app": "a"}}}))];
    let plan = ReplicaSets.reconcile(&look, Timestamp::UNIX_EPOCH);
    assert_eq!(said(&plan), "patch pods x");
    let Action::Patch { patch, revision, .. } = &plan.actions[0] else { panic!("no patch") };
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], UID);
    assert_eq!(*revision, Some(knarr_machinery::Revision(7)), "a list is replaced only if nobody wrote it");
}

/// The cases of the differential scenarios replicaset/victims.
#[test]
fn gives_up_the_least_useful_first() {
    for (pods, expected) in [
        (&["p1 ready", "p2 on= Pending", "p3 ready"][..], "p2 p1 p3"),
        (&["p1 ready cost=10", "p2 ready cost=-5", "p3 ready", "p4 ready cost=3"][..], "p2 p3 p4 p1"),
        (&["p1 ready cost=-10", "p2 cost=100", "p3 ready cost=5"][..], "p2 p1 p3"),
        (&["p1 since=0", "p2 since=99990", "p3 since=98000"][..], "p2 p3 p1"),
        (&["p1 ready cost=-100", "p2 on= Pending cost=100", "p3 Pending"][..], "p2 p3 p1"),
        (&["p1 ready on=a", "p2 ready on=b", "p3 ready on=b"][..], "p2 p3 p1"),
        (&["p1 ready restarts=1", "p2 ready restarts=5", "p3 ready"][..], "p2 p1 p3"),
    ] {
        assert_eq!(victims(pods), expected, "{pods:?}");
    }
}
