//! Tests of builtin: an object, and what becomes of it or is said against it.
use crate::{
    builtin,
    trial::{becomes, cells, edited, refused, refused_update, submit},
};
use serde_json::{Value, json};

#[test]
fn rows_say_what_discovery_lists() {
    let written: Vec<_> = builtin()
        .iter()
        .map(|k| {
            let subresources = k.subresources.iter().map(|sub| sub.path()).collect::<Vec<_>>().join(",");
            format!(
                "{} {} {}[{}]{}",
                k.api_version(),
                k.plural,
                k.short.join(","),
                subresources,
                if k.namespaced { "" } else { " cluster" }
            )
        })
        .collect();
    assert_eq!(
        written,
        [
            "v1 configmaps cm[]",
            "v1 endpoints ep[]",
            "v1 events ev[]",
            "v1 namespaces ns[finalize,status] cluster",
            "v1 nodes no[proxy,status] cluster",
            "v1 pods po[attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status]",
            "v1 secrets []",
            "v1 serviceaccounts sa[token]",
            "v1 services svc[proxy,status]",
            "apps/v1 deployments deploy[scale,status]",
            "apps/v1 replicasets rs[scale,status]",
            "authentication.k8s.io/v1 selfsubjectreviews [] cluster",
            "authorization.k8s.io/v1 selfsubjectaccessreviews [] cluster",
            "coordination.k8s.io/v1 leases []",
            "discovery.k8s.io/v1 endpointslices []",
            "events.k8s.io/v1 events ev[]",
            "networking.k8s.io/v1 ingressclasses [] cluster",
            "networking.k8s.io/v1 ingresses ing[status]",
            "node.k8s.io/v1 runtimeclasses [] cluster",
            "scheduling.k8s.io/v1 priorityclasses pc[] cluster",
        ]
    );
}

#[test]
fn both_event_rows_share_one_store() {
    let table = crate::Table::new(builtin());
    let row = |group: &str| table.by_path(group, "v1", "events").unwrap();
    assert_eq!(row("events.k8s.io").storage(), row("").storage());
    assert_eq!(row("events.k8s.io").resource().to_string(), "events.events.k8s.io");
}

fn deployment() -> Value {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
}

#[test]
fn a_deployment_is_filled_in() {
    let rolling = json!({"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"});
    becomes(
        &deployment(),
        &[
            ("/spec/replicas", json!(1)),
            ("/spec/revisionHistoryLimit", json!(10)),
            ("/spec/progressDeadlineSeconds", json!(600)),
            ("/spec/strategy", rolling),
            ("/spec/template/spec/enableServiceLinks", Value::Null),
            ("/spec/template/spec/dnsPolicy", json!("ClusterFirst")),
            ("/status", json!({})),
        ],
    );
    becomes(&edited(deployment(), &[("spec.strategy", json!({"type": "Recreate"}))]), &[("/spec/strategy", json!({"type": "Recreate"}))]);
    let surge = edited(deployment(), &[("spec.strategy", json!({"rollingUpdate": {"maxSurge": 2}}))]);
    becomes(&surge, &[("/spec/strategy/rollingUpdate", json!({"maxSurge": 2, "maxUnavailable": "25%"}))]);
}

#[test]
fn refuses_bad_deployments() {
    let mismatch = "`selector` does not match template `labels`";
    for (path, value, said) in [
        ("spec.replicas", json!(-1), vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0".into()]),
        ("spec.selector", Value::Null, vec!["spec.selector: Required value".into(), format!("spec.template.metadata.labels: Invalid value: {{\"a\":\"b\"}}: {mismatch}")]),
        (
            "spec.selector",
            json!({"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}),
            vec![
                "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator".into(),
                "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Is\",\"values\":[\"b\"]}]}: invalid label selector".into(),
            ],
        ),
        ("spec.template", Value::Null, vec![format!("spec.template.metadata.labels: Invalid value: null: {mismatch}"), "spec.template.spec.containers: Required value".into()]),
        ("spec.strategy", json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}), vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'".into()]),
        ("spec.strategy", json!({"rollingUpdate": {"maxSurge": "x%"}}), vec!["spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x%\": a valid percent string must be".into()]),
        ("spec.strategy", json!({"rollingUpdate": {"maxUnavailable": "101%"}}), vec!["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%".into()]),
        ("spec.strategy", json!({"rollingUpdate": {"maxUnavailable": -1}}), vec!["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: -1: must be greater than or equal to 0".into()]),
        ("spec.template.spec.restartPolicy", json!("Never"), vec!["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"".into()]),
        ("spec.template.spec.activeDeadlineSeconds", json!(1), vec!["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported".into()]),
        ("spec.template.spec.containers.0.image", json!(""), vec!["spec.template.spec.containers[0].image: Required value".into()]),
    ] {
        let said: Vec<String> = said;
        refused(&edited(deployment(), &[(path, value)]), &said.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let labels = ("spec.template.metadata.labels", json!({"a": "b", "c": "d"}));
    let old = edited(deployment(), &[labels]);
    refused_update(
        &old,
        &[("spec.selector", json!({"matchLabels": {"c": "d"}}))],
        &["spec.selector: Invalid value: {\"matchLabels\":{\"c\":\"d\"}}: field is immutable"],
    );
}

#[test]
fn immutable_means_that_data_stays() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "immutable": true, "data": {"k": "v"}});
    refused_update(&map, &[("data", json!({"k": "w"}))], &["data: Forbidden: field is immutable when `immutable` is set"]);
    refused_update(&map, &[("immutable", json!(false))], &["immutable: Forbidden: field is immutable when `immutable` is set"]);
    refused_update(&map, &[("metadata.labels", json!({"a": "b"}))], &[]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "immutable": true, "data": {"k": "dg=="}});
    refused_update(&secret, &[("stringData", json!({"k": "w"}))], &["data: Forbidden: field is immutable when `immutable` is set"]);
    refused_update(&secret, &[("type", json!("other"))], &["type: Invalid value: \"other\": field is immutable"]);
}

#[test]
fn config_maps_and_secrets_hold_what_they_may() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    refused(&edited(map.clone(), &[("data", json!({"..a": "v"}))]), &["data[..a]: Invalid value: \"..a\": must not start with '..'"]);
    refused(
        &edited(map.clone(), &[("data", json!({"k": "x".repeat(1024 * 1024 + 1)}))]),
        &["[]: Too long: may not be more than 1048576 bytes"],
    );
    let broken = submit(&edited(map, &[("binaryData", json!({"k": "not base64"}))]), None).unwrap_err();
    assert_eq!(broken, "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: illegal base64 data at input byte 3");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    becomes(
        &edited(secret.clone(), &[("stringData", json!({"k": "w"}))]),
        &[("/type", json!("Opaque")), ("/data", json!({"k": "dw=="})), ("/stringData", Value::Null)],
    );
    let docker = edited(secret, &[("type", json!("kubernetes.io/dockerconfigjson"))]);
    refused(&docker, &["data[.dockerconfigjson]: Required value"]);
    let broken = edited(docker, &[("stringData", json!({".dockerconfigjson": "{"}))]);
    refused(&broken, &["data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": unexpected end of JSON input"]);
}

#[test]
fn a_namespace_is_held_and_labelled() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    becomes(
        &namespace,
        &[
            ("/spec", json!({"finalizers": ["kubernetes"]})),
            ("/status", json!({"phase": "Active"})),
            ("/metadata/labels", json!({"kubernetes.io/metadata.name": "n"})),
        ],
    );
    refused(
        &edited(namespace, &[("spec", json!({"finalizers": ["nope"]}))]),
        &["spec.finalizers: Invalid value: \"nope\": name is neither a standard finalizer name nor is it fully qualified"],
    );
}

#[test]
fn endpoints_are_reachable_addresses() {
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "a"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}, {"ip": "x"}], "ports": [{"port": 0}]}, {}]});
    refused(
        &endpoints,
        &[
            "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "subsets[0].addresses[1].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "subsets[0].addresses[1].ip: Invalid value: \"x\": must be a valid IP address",
            "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`",
        ],
    );
    let slice =
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"}, "endpoints": [{"addresses": []}]});
    refused(&slice, &["addressType: Required value", "endpoints[0].addresses: Required value"]);
    let mixed = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["::1", "x"]}, {"addresses": ["10.0.0.1"], "hostname": "A_"}], "ports": [{"name": "a", "port": 0, "protocol": "X"}, {"name": "a"}]});
    refused(
        &mixed,
        &[
            "ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "ports[1].name: Duplicate value: \"a\"",
            "endpoints[0].addresses: Invalid value: \"::1\": must be an IPv4 address",
            "endpoints[0].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "endpoints[0].addresses[1]: Invalid value: \"x\": must be a valid IP address",
            "endpoints[1].hostname: Invalid value: \"A_\": a lowercase RFC 1123 label",
        ],
    );
}

#[test]
fn an_ingress_names_one_backend_a_path() {
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"}, "spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}});
    refused(&ingress, &[]);
    becomes(&ingress, &[("/status", json!({"loadBalancer": {}}))]);
    let backend = "spec.rules[0].http.paths[0].backend";
    for (path, value, said) in [
        ("host", json!("A.b"), "spec.rules[0].host: Invalid value: \"A.b\": a lowercase RFC 1123 subdomain".to_owned()),
        ("host", json!("a.*.com"), "spec.rules[0].host: Invalid value: \"a.*.com\": a wildcard DNS-1123 subdomain".into()),
        ("http.paths.0.pathType", json!("Regex"), "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Regex\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"".into()),
        ("http.paths", json!([]), "spec.rules[0].http.paths: Required value".into()),
        ("http.paths.0.backend.resource", json!({"kind": "K", "name": "n"}), format!("{backend}: Invalid value: \"\": cannot set both resource and service backends")),
        ("http.paths.0.backend", json!({}), format!("{backend}: Invalid value: \"\": resource or service backend is required")),
        ("http.paths.0.backend.service.port.name", json!("web"), format!("{backend}: Invalid value: \"\": cannot set both port name & port number")),
        ("http.paths.0.backend.service.name", json!("A_"), format!("{backend}.service.name: Invalid value: \"A_\": a lowercase RFC 1123 label")),
    ] {
        refused(&edited(ingress.clone(), &[(&format!("spec.rules.0.{path}"), value)]), &[&said]);
    }
}

#[test]
fn events_belong_beside_their_object() {
    let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "n"}, "involvedObject": {"kind": "Pod", "namespace": "other", "name": "p"}});
    refused(&core, &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"]);
    let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a", "namespace": "n"}, "regarding": {"kind": "Pod", "namespace": "n", "name": "p"}, "type": "Odd"});
    refused(&new, &["eventTime: Required value", "type: Invalid value: \"\": has invalid value: Odd"]);
}

#[test]
fn a_priority_has_a_ceiling() {
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "a"}, "value": 1_000_000_001});
    refused(&class, &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]);
    refused(&edited(class, &[("metadata.name", json!("system-node-critical")), ("value", json!(2_000_001_000))]), &[]);
}

#[test]
fn cells_are_those_of_the_real_server() {
    let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T00:58:00Z"});
    let object = |api_version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": meta});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let containers = json!([{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]);
    let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]});
    let workload = json!({"spec": {"replicas": 3, "selector": selector, "template": {"spec": {"containers": containers}}}});
    let service = |spec: Value| object("v1", "Service", json!({"spec": spec}));
    for (object, said) in [
        (object("apps/v1", "Deployment", workload.clone()), "x 0/3 0 0 2m | c,d i:1,j a=b,c in (d,e)"),
        (object("apps/v1", "ReplicaSet", workload), "x 3 0 0 2m | c,d i:1,j a=b,c in (d,e)"),
        (
            service(
                json!({"type": "ClusterIP", "clusterIP": "None", "externalIPs": ["1.2.3.4"], "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            ),
            "x ClusterIP None 1.2.3.4 80/TCP,53/UDP 2m | <none>",
        ),
        (
            service(json!({"type": "ExternalName", "externalName": "x.example.com"})),
            "x ExternalName <none> x.example.com <none> 2m | <none>",
        ),
        (
            service(
                json!({"type": "NodePort", "clusterIP": "10.96.0.1", "selector": {"a": "b"}, "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}]}),
            ),
            "x NodePort 10.96.0.1 <none> 80:30000/TCP 2m | a=b",
        ),
        (service(json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1"})), "x LoadBalancer 10.96.0.1 <pending> <none> 2m | <none>"),
        (object("v1", "ConfigMap", json!({"data": {"a": "b"}, "binaryData": {"c": "AA=="}})), "x 2 2m"),
        (object("v1", "Secret", json!({"type": "Opaque", "data": {"a": "YQ=="}})), "x Opaque 1 2m"),
        (object("v1", "Namespace", json!({"status": {"phase": "Active"}})), "x Active 2m"),
        (object("v1", "ServiceAccount", json!({})), "x 2m"),
        (
            object(
                "v1",
                "Endpoints",
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]}),
            ),
            "x 10.0.0.1:80,10.0.0.2:80 2m",
        ),
        (object("v1", "Endpoints", json!({})), "x <none> 2m"),
        (
            object(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]}),
            ),
            "x IPv4 80 10.0.0.1 2m",
        ),
        (object("discovery.k8s.io/v1", "EndpointSlice", json!({"addressType": "IPv4", "endpoints": []})), "x IPv4 <unset> <unset> 2m"),
        (
            object("networking.k8s.io/v1", "Ingress", json!({"spec": {"rules": [{"host": "a.example.com"}], "tls": [{}]}})),
            "x <none> a.example.com  80, 443 2m",
        ),
        (
            object(
                "networking.k8s.io/v1",
                "IngressClass",
                json!({"spec": {"controller": "k.io/c", "parameters": {"apiGroup": "g.io", "kind": "P", "name": "n"}}}),
            ),
            "x k.io/c P.g.io/n 2m",
        ),
        (object("coordination.k8s.io/v1", "Lease", json!({"spec": {"holderIdentity": "me"}})), "x me 2m"),
        (object("node.k8s.io/v1", "RuntimeClass", json!({"handler": "wasm"})), "x wasm 2m"),
        (
            object("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 7, "preemptionPolicy": "PreemptLowerPriority"})),
            "x 7 false 2m PreemptLowerPriority",
        ),
        (
            object("v1", "Node", json!({"spec": {"unschedulable": true}})),
            "x Unknown,SchedulingDisabled <none> 2m  | <none> <none> <unknown> <unknown> <unknown>",
        ),
        (
            object(
                "v1",
                "Node",
                json!({"status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
            ),
            "x Ready <none> 2m v1 | 10.0.0.1 <none> <unknown> <unknown> <unknown>",
        ),
        (
            object(
                "v1",
                "Event",
                json!({"type": "Warning", "reason": "Failed", "message": "no such image\n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"}, "lastTimestamp": "2026-01-01T00:59:55Z", "firstTimestamp": "2026-01-01T00:59:00Z", "count": 3, "source": {"component": "kubelet"}}),
            ),
            "5s Warning Failed pod/p no such image | spec.containers{c} kubelet 60s 3 x",
        ),
    ] {
        assert_eq!(cells(&object), said);
    }
}
