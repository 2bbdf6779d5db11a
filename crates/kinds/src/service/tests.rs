//! Tests of service: an object, and what becomes of it or is said against it.
use crate::trial::{becomes, edited, refused, refused_update};
use serde_json::{Value, json};

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}})
}

fn with(path: &str, value: Value) -> Value {
    edited(service(), &[(path, value)])
}

/// As the server stores it: with an address.
fn stored() -> Value {
    with("spec.clusterIP", json!("10.96.0.7"))
}

#[test]
fn a_new_service_is_filled_in() {
    let spec = json!({"internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"a": "b"}, "sessionAffinity": "None", "type": "ClusterIP"});
    becomes(&service(), &[("/spec", spec), ("/status", json!({"loadBalancer": {}}))]);
    becomes(&with("spec.type", json!("NodePort")), &[("/spec/externalTrafficPolicy", json!("Cluster"))]);
    becomes(&with("spec.sessionAffinity", json!("ClientIP")), &[("/spec/sessionAffinityConfig/clientIP/timeoutSeconds", json!(10800))]);
    becomes(&stored(), &[("/spec/clusterIPs", json!(["10.96.0.7"]))]);
    let external = edited(
        with("spec.type", json!("ExternalName")),
        &[("spec.externalName", json!("example.com")), ("spec.ports", Value::Null), ("spec.selector", Value::Null)],
    );
    becomes(&external, &[("/spec", json!({"externalName": "example.com", "sessionAffinity": "None", "type": "ExternalName"}))]);
}

#[test]
fn refuses_bad_services() {
    refused(&service(), &[]);
    for (path, value, said) in [
        ("spec.ports", json!([]), "spec.ports: Required value"),
        ("spec.ports", json!([{"name": "a", "port": 80}, {"name": "a", "port": 81}]), "spec.ports[1].name: Duplicate value: \"a\""),
        ("spec.ports", json!([{"name": "A_", "port": 80}]), "spec.ports[0].name: Invalid value: \"A_\": a lowercase RFC 1123 label"),
        (
            "spec.ports",
            json!([{"port": 80, "targetPort": "Bad_Name"}]),
            "spec.ports[0].targetPort: Invalid value: \"Bad_Name\": must contain only",
        ),
        (
            "spec.ports",
            json!([{"port": 80, "protocol": "HTTP"}]),
            "spec.ports[0].protocol: Unsupported value: \"HTTP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            "spec.ports",
            json!([{"port": 80, "nodePort": 30000}]),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            "spec.type",
            json!("Nope"),
            "spec.type: Unsupported value: \"Nope\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
        (
            "spec.externalIPs",
            json!(["127.0.0.1"]),
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            "spec.externalTrafficPolicy",
            json!("Local"),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
        ),
        (
            "spec.internalTrafficPolicy",
            json!("Near"),
            "spec.internalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\"",
        ),
        (
            "spec.loadBalancerSourceRanges",
            json!(["10.0.0.0/33"]),
            "spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.0/33\": must be a valid CIDR value",
        ),
    ] {
        refused(&with(path, value), &[said]);
    }
    let headless = edited(with("spec.type", json!("NodePort")), &[("spec.clusterIP", json!("None"))]);
    refused(&headless, &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"]);
    let external = edited(with("spec.type", json!("ExternalName")), &[("spec.externalName", json!("a b"))]);
    refused(&external, &["spec.externalName: Invalid value: \"a b\": a lowercase RFC 1123 subdomain"]);
    let affinity = edited(
        with("spec.sessionAffinity", json!("ClientIP")),
        &[("spec.sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 0}}))],
    );
    refused(
        &affinity,
        &["spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"],
    );
}

#[test]
fn keeps_its_address() {
    let said = ["spec.clusterIPs[0]: Invalid value: [\"10.96.77.77\"]: may not change once set"];
    refused_update(&stored(), &[("spec.clusterIP", json!("10.96.77.77")), ("spec.clusterIPs", json!(["10.96.77.77"]))], &said);
    refused_update(&stored(), &[("spec.clusterIP", json!("10.96.77.77"))], &said);
    refused_update(
        &stored(),
        &[("spec.clusterIP", json!("None")), ("spec.clusterIPs", json!(["None"]))],
        &["spec.clusterIPs[0]: Invalid value: [\"None\"]: may not change once set"],
    );
    refused_update(&stored(), &[("spec.type", json!("ExternalName")), ("spec.externalName", json!("a.example.com"))], &[]);
    refused_update(&stored(), &[("spec.clusterIP", Value::Null), ("spec.clusterIPs", Value::Null)], &[]);
    refused_update(&stored(), &[("spec.ports.0.name", json!("web"))], &[]);
}
