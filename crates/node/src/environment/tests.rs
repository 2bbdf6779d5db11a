use super::*;
use crate::surroundings::{NodeFacts, References};
use serde_json::{Value, from_value, json};
use std::sync::Arc;

fn around() -> Surroundings {
    let config_map = json!({"metadata": {"name": "cm"}, "data": {"COLOR": "blue", "with=equals": "x"}});
    let secret = json!({"metadata": {"name": "s"}, "data": {"PASSWORD": "aHVudGVyMg=="}});
    let service = |name: &str, address: &str| {
        let ports = json!([{"name": "http", "port": 80}, {"port": 53, "protocol": "UDP"}]);
        Arc::new(from_value(json!({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": ports}})).unwrap())
    };
    Surroundings {
        config_maps: [("cm".to_owned(), Arc::new(from_value(config_map).unwrap()))].into(),
        secrets: [("s".to_owned(), Arc::new(from_value(secret).unwrap()))].into(),
        services: vec![service("my-db", "10.96.0.7"), service("headless", "None")],
        api: Some(service("kubernetes", "10.96.0.1")),
        node: NodeFacts { name: "n1".into(), cpu_millis: 4000, memory_bytes: 1 << 30, ..NodeFacts::default() },
        pod_address: Some([10, 0, 0, 1].into()),
    }
}

fn pod(container: Value) -> Pod {
    let mut container = container;
    container["name"] = json!("a");
    let meta = json!({"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web", "tier": "1"}, "annotations": {"k": "v"}});
    from_value(json!({"metadata": meta, "spec": {"serviceAccountName": "default", "containers": [container]}})).unwrap()
}

/// The value of X in a container with this environment, or what stands in its way.
fn x(container: Value) -> String {
    let pod = pod(container);
    match variables(&pod, &pod.spec.containers[0], &around()) {
        Ok(variables) => variables.get("X").cloned().unwrap_or_else(|| "(none)".into()),
        Err(missing) => format!("error: {missing}"),
    }
}

fn x_from(from: Value) -> String {
    x(json!({"env": [{"name": "X", "valueFrom": from}]}))
}

#[test]
fn variables_are_put_in() {
    for (text, said) in [
        ("$(COLOR)", "$(COLOR)"),
        ("a$(A)b$(A)", "a1b1"),
        ("$$(A)", "$(A)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)", "10.96.0.7:80"),
    ] {
        assert_eq!(x(json!({"env": [{"name": "A", "value": "1"}, {"name": "X", "value": text}]})), said, "{text}");
    }
}

#[test]
fn later_variables_are_not_known_to_earlier_ones() {
    assert_eq!(x(json!({"env": [{"name": "X", "value": "$(LATER)"}, {"name": "LATER", "value": "1"}]})), "$(LATER)");
}

#[test]
fn values_come_from_config_maps_and_secrets() {
    for (from, said) in [
        (json!({"configMapKeyRef": {"name": "cm", "key": "COLOR"}}), "blue"),
        (json!({"configMapKeyRef": {"name": "cm", "key": "no"}}), "error: couldn't find key no in ConfigMap shop/cm"),
        (json!({"configMapKeyRef": {"name": "cm", "key": "no", "optional": true}}), "(none)"),
        (json!({"configMapKeyRef": {"name": "x", "key": "no"}}), r#"error: configmap "x" not found"#),
        (json!({"configMapKeyRef": {"name": "x", "key": "no", "optional": true}}), "(none)"),
        (json!({"secretKeyRef": {"name": "s", "key": "PASSWORD"}}), "hunter2"),
        (json!({"secretKeyRef": {"name": "s", "key": "no"}}), "error: couldn't find key no in Secret shop/s"),
        (json!({"secretKeyRef": {"name": "x", "key": "no"}}), r#"error: secret "x" not found"#),
    ] {
        assert_eq!(x_from(from.clone()), said, "{from}");
    }
}

#[test]
fn whole_objects_come_in_with_a_prefix_and_env_wins() {
    let all = |container: Value| {
        let pod = pod(container);
        variables(&pod, &pod.spec.containers[0], &around())
    };
    let imported = all(json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}]})).unwrap();
    assert_eq!((imported.get("P_COLOR").unwrap().as_str(), imported.get("PASSWORD").unwrap().as_str()), ("blue", "hunter2"));
    assert!(!imported.keys().any(|name| name.contains('=')));
    let overridden = all(json!({"envFrom": [{"configMapRef": {"name": "cm"}}], "env": [{"name": "COLOR", "value": "red"}]})).unwrap();
    assert_eq!(overridden["COLOR"], "red");
    let missing = all(json!({"envFrom": [{"secretRef": {"name": "x"}}]})).unwrap_err();
    assert_eq!(missing.to_string(), r#"secret "x" not found"#);
    assert!(all(json!({"envFrom": [{"secretRef": {"name": "x", "optional": true}}]})).is_ok());
}

#[test]
fn the_downward_api_tells_of_the_pod() {
    for (path, said) in [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['k']", "v"),
        ("metadata.labels", "app=\"web\"\ntier=\"1\""),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.0.0.1"),
        ("status.hostIP", "127.0.0.1"),
        ("spec.color", "error: unsupported fieldPath: spec.color"),
    ] {
        assert_eq!(x_from(json!({"fieldRef": {"fieldPath": path}})), said, "{path}");
    }
}

#[test]
fn resources_are_counted_in_their_divisor_and_rounded_up() {
    let resources = json!({"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}});
    for (resource, divisor, said) in [
        ("limits.cpu", None, "2"),
        ("limits.cpu", Some("1m"), "1500"),
        ("limits.memory", None, "67108864"),
        ("limits.memory", Some("1Mi"), "64"),
        ("requests.cpu", Some("0"), "1"),
        ("requests.memory", None, "0"),
        ("limits.color", None, "0"),
        ("color", None, "error: unsupported container resource : color"),
    ] {
        let from = json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}});
        assert_eq!(x(json!({"resources": resources, "env": [{"name": "X", "valueFrom": from}]})), said, "{resource} {divisor:?}");
    }
    assert_eq!(x_from(json!({"resourceFieldRef": {"resource": "limits.cpu"}})), "4", "without a limit: what the node has");
}

#[test]
fn services_are_found_by_variables() {
    let mut pod = pod(json!({}));
    let all = variables(&pod, &pod.spec.containers[0], &around()).unwrap();
    for (name, value) in [
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "80"),
        ("MY_DB_SERVICE_PORT_HTTP", "80"),
        ("MY_DB_PORT", "tcp://10.96.0.7:80"),
        ("MY_DB_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("MY_DB_PORT_53_UDP", "udp://10.96.0.7:53"),
        ("MY_DB_PORT_53_UDP_PROTO", "udp"),
        ("HOSTNAME", "web"),
    ] {
        assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!all.contains_key("HEADLESS_SERVICE_HOST"));
    pod.spec.enable_service_links = Some(false);
    let few = variables(&pod, &pod.spec.containers[0], &around()).unwrap();
    assert!(few.contains_key("KUBERNETES_SERVICE_HOST") && !few.contains_key("MY_DB_SERVICE_HOST"));
}

#[test]
fn arguments_are_the_command_and_the_args_with_variables() {
    let pod = pod(json!({"command": ["run"], "args": ["--name=$(HOSTNAME)", "$(NOTHING)"]}));
    let variables = variables(&pod, &pod.spec.containers[0], &around()).unwrap();
    assert_eq!(arguments(&pod.spec.containers[0], &variables), ["run", "--name=web", "$(NOTHING)"]);
}

#[test]
fn everything_that_a_pod_refers_to_is_found() {
    let mut pod = pod(json!({
        "envFrom": [{"configMapRef": {"name": "c1"}}, {"secretRef": {"name": "s1"}}],
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}}],
    }));
    let projected = json!({"sources": [{"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}}]});
    let volumes = json!([{"name": "a", "configMap": {"name": "c3"}}, {"name": "b", "secret": {"secretName": "s3"}}, {"name": "c", "projected": projected}]);
    pod.spec.volumes = from_value(volumes).unwrap();
    let found = References::of(&pod);
    assert_eq!(found.config_maps.iter().collect::<Vec<_>>(), ["c1", "c2", "c3", "c4"]);
    assert_eq!(found.secrets.iter().collect::<Vec<_>>(), ["s1", "s2", "s3", "s4"]);
}
