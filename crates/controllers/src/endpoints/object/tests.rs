use super::*;
use crate::said::said;
use serde_json::from_value;

fn pod(name: &str, ip: &str, is_ready: &str, port: &str) -> Arc<Pod> {
    let ports = if port.is_empty() { json!([]) } else { json!([{"name": "web", "containerPort": port.parse::<u16>().unwrap()}]) };
    let deleted = if is_ready == "leaving" { json!("2024-01-01T00:00:00Z") } else { Value::Null };
    let ready = if is_ready == "no" { "False" } else { "True" };
    let pod = json!({"metadata": {"name": name, "namespace": "one", "uid": name, "deletionTimestamp": deleted}, "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]}});
    Arc::new(from_value(pod).unwrap())
}

fn service(spec: &Value) -> Arc<Service> {
    let mut service = json!({"metadata": {"name": "svc", "namespace": "one"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    Arc::new(from_value(service).unwrap())
}

/// The subsets, each as `ports: ready | not ready`.
fn told(spec: &Value, pods: &[Arc<Pod>]) -> Vec<String> {
    let list = |list: &Value, field: &str| {
        list.as_array().into_iter().flatten().map(|item| item[field].to_string().replace('"', "")).collect::<Vec<_>>().join(" ")
    };
    let one =
        |s: &Value| format!("{}: {} | {}", list(&s["ports"], "port"), list(&s["addresses"], "ip"), list(&s["notReadyAddresses"], "ip"));
    subsets(&service(spec), pods).as_array().unwrap().iter().map(one).collect()
}

#[test]
fn groups_addresses_by_their_ports_and_leaves_out_the_leaving() {
    let three = [pod("a", "10.9.0.1", "yes", "8080"), pod("b", "10.9.0.2", "no", "9090"), pod("c", "10.9.0.3", "leaving", "")];
    for (spec, expected) in [
        (json!({}), &["80: 10.9.0.1 | 10.9.0.2"][..]),
        (json!({"ports": [{"port": 80, "targetPort": "web"}]}), &["8080: 10.9.0.1 | ", "9090:  | 10.9.0.2"][..]),
        (json!({"publishNotReadyAddresses": true}), &["80: 10.9.0.1 10.9.0.2 10.9.0.3 | "][..]),
        (json!({"clusterIP": "None", "ports": null}), &[": 10.9.0.1 | 10.9.0.2"][..]),
    ] {
        assert_eq!(told(&spec, &three), expected, "{spec}");
    }
}

#[test]
fn makes_keeps_and_takes_away() {
    let look = |service: Option<Arc<Service>>, endpoints: Option<Value>| Look {
        key: Key::new("one", "svc"),
        service,
        pods: vec![],
        endpoints: endpoints.map(|endpoints| Arc::new(from_value(endpoints).unwrap())),
    };
    let labels = json!({MANAGED_BY.0: MANAGED_BY.1});
    let ours = json!({"metadata": {"name": "svc", "namespace": "one", "labels": labels}});
    let theirs = json!({"metadata": {"name": "svc", "namespace": "one"}});
    for (service, endpoints, expected) in [
        (Some(service(&json!({}))), None, "create endpoints svc"),
        (Some(service(&json!({}))), Some(ours.clone()), ""),
        (Some(service(&json!({}))), Some(theirs.clone()), "patch endpoints svc"),
        (Some(service(&json!({"selector": {}}))), None, ""),
        (None, Some(ours), "delete endpoints svc"),
        (None, Some(theirs), ""),
    ] {
        assert_eq!(said(&EndpointsObjects.reconcile(&look(service, endpoints), Timestamp::UNIX_EPOCH)), expected);
    }
}
