use super::*;
use crate::schema::tests::shipped;
use serde_json::json;

/// A pod, then patches and what kubectl 1.33 made of it with each, or the first line of its refusal.
const KUBECTL: &str = include_str!("kubectl.txt");

fn from(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// kubectl leaves nulls and directives inside new elements for the decoder to drop; here some are dropped earlier.
fn as_decoded(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(k, v)| !v.is_null() && !is_directive(k)).map(|(k, v)| (k, as_decoded(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(as_decoded).collect()),
        plain => plain,
    }
}

#[test]
fn does_what_kubectl_does() {
    let schema = shipped();
    let object = schema.kind("v1", "Pod").unwrap();
    let mut lines = KUBECTL.lines();
    let pod = from(lines.next().unwrap());
    let mut count = 0;
    while let (Some(patch), Some(expected)) = (lines.next(), lines.next()) {
        match (apply(pod.clone(), from(patch), object), expected.strip_prefix("refused ")) {
            (Ok(patched), None) => assert_eq!(as_decoded(patched), as_decoded(from(expected)), "{patch}"),
            (Err(status), Some(words)) => assert!(status.message.starts_with(words), "{patch}: {} instead of {words}", status.message),
            (answer, _) => panic!("{patch}: {answer:?}"),
        }
        count += 1;
    }
    assert!(count > 90, "{count} patches were recorded");
}

#[track_caller]
fn check(api_version: &str, kind: &str, current: Value, patch: Value, expected: Value) {
    assert_eq!(apply(current, patch, shipped().kind(api_version, kind).unwrap()).unwrap(), expected);
}

/// Recorded from the real server.
#[test]
fn keys_that_are_not_retained_go() {
    let current = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    check(
        "apps/v1",
        "Deployment",
        current.clone(),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
    check(
        "apps/v1",
        "Deployment",
        current,
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}}),
    );
}

#[test]
fn a_restart_adds_its_annotation() {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    let expected = json!({"spec": {"replicas": 1, "template": {"metadata": {"labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    check("apps/v1", "Deployment", json!({"spec": {"replicas": 1, "template": {"metadata": {"labels": {"a": "b"}}}}}), patch, expected);
}

#[test]
fn service_ports_merge_by_port() {
    let current = json!({"spec": {"ports": [{"port": 80, "targetPort": 1}, {"port": 443}]}});
    let patch = json!({"spec": {"$setElementOrder/ports": [{"port": 443}, {"port": 80}], "ports": [{"port": 80, "targetPort": 2}]}});
    check("v1", "Service", current, patch, json!({"spec": {"ports": [{"port": 443}, {"port": 80, "targetPort": 2}]}}));
}

#[test]
fn refusals_have_their_codes() {
    let schema = shipped();
    let object = schema.kind("v1", "Pod").unwrap();
    for (patch, code) in [
        (json!({"$patch": "frob"}), 500),
        (json!({"metadata": {"$retainKeys": "x"}}), 400),
        (json!("text"), 400),
        (json!({"metadata": {"$setElementOrder/finalizers": 1}}), 500),
    ] {
        assert_eq!(apply(json!({"metadata": {}}), patch.clone(), object).unwrap_err().code, code, "{patch}");
    }
}
