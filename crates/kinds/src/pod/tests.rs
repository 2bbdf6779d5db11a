//! Tests of pod: an object, and what becomes of it or is said against it.
use crate::trial::{becomes, edited, refused, refused_update, submit};
use serde_json::{Value, json};

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn with(path: &str, value: Value) -> Value {
    edited(pod(), &[(path, value)])
}

/// A pod with a volume `v` and these mounts.
fn mounting(mounts: Value) -> Value {
    edited(pod(), &[("spec.volumes", json!([{"name": "v"}])), ("spec.containers.0.volumeMounts", mounts)])
}

const C: &str = "spec.containers.0";

fn container(part: &str, value: Value) -> Value {
    with(&format!("{C}.{part}"), value)
}

#[test]
fn a_new_pod_is_filled_in() {
    becomes(
        &pod(),
        &[
            ("/spec/dnsPolicy", json!("ClusterFirst")),
            ("/spec/restartPolicy", json!("Always")),
            ("/spec/terminationGracePeriodSeconds", json!(30)),
            ("/spec/schedulerName", json!("default-scheduler")),
            ("/spec/securityContext", json!({})),
            ("/spec/enableServiceLinks", json!(true)),
            (
                "/spec/containers/0",
                json!({"name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}),
            ),
            ("/status", json!({"phase": "Pending", "qosClass": "BestEffort"})),
        ],
    );
    becomes(&with("spec.terminationGracePeriodSeconds", json!(-1)), &[("/spec/terminationGracePeriodSeconds", json!(1))]);
    becomes(&with("spec.serviceAccount", json!("a")), &[("/spec/serviceAccountName", json!("a"))]);
    becomes(&with("spec.schedulingGates", json!([{"name": "g"}])), &[("/status/conditions/0/reason", json!("SchedulingGated"))]);
}

#[test]
fn containers_are_filled_in() {
    for (image, policy) in [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("r:5000/x/i", "Always"),
        ("r:5000/x/i:v1", "IfNotPresent"),
        ("i@sha256:0", "IfNotPresent"),
    ] {
        becomes(&container("image", json!(image)), &[("/spec/containers/0/imagePullPolicy", json!(policy))]);
    }
    let probe = json!({"httpGet": {"port": 80}, "initialDelaySeconds": 0});
    let filled = json!({"failureThreshold": 3, "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1});
    becomes(&container("livenessProbe", probe), &[("/spec/containers/0/livenessProbe", filled)]);
    becomes(&container("ports", json!([{"containerPort": 80}])), &[("/spec/containers/0/ports/0/protocol", json!("TCP"))]);
    let host = edited(container("ports", json!([{"containerPort": 80}])), &[("spec.hostNetwork", json!(true))]);
    becomes(&host, &[("/spec/containers/0/ports/0/hostPort", json!(80))]);
    let env = json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    becomes(&container("env", env), &[("/spec/containers/0/env/0/valueFrom/fieldRef/apiVersion", json!("v1"))]);
}

#[test]
fn limits_are_requests_and_decide_the_class_of_service() {
    for (resources, requests, class) in [
        (json!({"limits": {"cpu": "1500m", "memory": "1536Mi"}}), json!({"cpu": "1500m", "memory": "1536Mi"}), "Guaranteed"),
        (json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}), json!({"cpu": "500m"}), "Burstable"),
        (json!({"limits": {"cpu": "1"}}), json!({"cpu": "1"}), "Burstable"),
        (json!({"requests": {"cpu": "0"}}), json!({"cpu": "0"}), "BestEffort"),
        (json!({"requests": {"ephemeral-storage": "1Gi"}}), json!({"ephemeral-storage": "1Gi"}), "BestEffort"),
    ] {
        let pod = container("resources", resources);
        becomes(&pod, &[("/spec/containers/0/resources/requests", requests), ("/status/qosClass", json!(class))]);
    }
}

#[test]
fn volumes_are_filled_in() {
    for (volume, filled) in [
        (json!({"name": "v"}), json!({"name": "v", "emptyDir": {}})),
        (json!({"name": "v", "configMap": {"name": "c"}}), json!({"name": "v", "configMap": {"name": "c", "defaultMode": 420}})),
        (json!({"name": "v", "hostPath": {"path": "/x"}}), json!({"name": "v", "hostPath": {"path": "/x", "type": ""}})),
        (
            json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            json!({"name": "v", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"expirationSeconds": 3600, "path": "t"}}]}}),
        ),
        (
            json!({"name": "v", "downwardAPI": {"items": [{"path": "c", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}),
            json!({"name": "v", "downwardAPI": {"defaultMode": 420, "items": [{"path": "c", "resourceFieldRef": {"containerName": "c", "divisor": "0", "resource": "limits.cpu"}}]}}),
        ),
    ] {
        becomes(&with("spec.volumes", json!([volume])), &[("/spec/volumes/0", filled)]);
    }
}

#[test]
fn refuses_bad_containers() {
    refused(&pod(), &[]);
    refused(&with("spec", Value::Null), &["spec.containers: Required value"]);
    refused(&container("name", Value::Null), &["spec.containers[0].name: Required value"]);
    refused(&container("name", json!("C")), &["spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label must"]);
    refused(&with("spec.containers.1", json!({"name": "c", "image": "i"})), &["spec.containers[1].name: Duplicate value: \"c\""]);
    refused(&with("spec.initContainers", json!([{"name": "c", "image": "i"}])), &["spec.initContainers[0].name: Duplicate value: \"c\""]);
    refused(&container("image", json!("")), &["spec.containers[0].image: Required value"]);
    let many = edited(
        pod(),
        &[
            ("spec.containers.0.name", json!("A")),
            ("spec.containers.0.image", json!("")),
            ("spec.restartPolicy", json!("x")),
            ("spec.dnsPolicy", json!("y")),
        ],
    );
    refused(
        &many,
        &[
            "spec.containers[0].name: Invalid value: \"A\"",
            "spec.containers[0].image: Required value",
            "spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsPolicy: Unsupported value: \"y\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
        ],
    );
    let hook = json!([{"name": "i", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}]);
    refused(
        &with("spec.initContainers", hook),
        &["spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"],
    );
}

#[test]
fn refuses_bad_ports_and_variables() {
    let p = "spec.containers[0].ports";
    refused(
        &container("ports", json!([{"containerPort": 65536}])),
        &[&format!("{p}[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive")],
    );
    refused(
        &container("ports", json!([{"containerPort": 80, "protocol": "tcp"}])),
        &[&format!("{p}[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"")],
    );
    refused(
        &container("ports", json!([{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}])),
        &[&format!("{p}[1].name: Duplicate value: \"a\"")],
    );
    refused(
        &container("ports", json!([{"containerPort": 80, "name": "80"}])),
        &[&format!("{p}[0].name: Invalid value: \"80\": must contain at least one letter (a-z)")],
    );
    let e = "spec.containers[0].env[0]";
    refused(&container("env", json!([{"name": "1a", "value": "v"}])), &[]);
    refused(
        &container("env", json!([{"name": "a=b", "value": "v"}])),
        &[&format!("{e}.name: Invalid value: \"a=b\": a valid environment variable name must")],
    );
    refused(&container("env", json!([{"name": "", "value": "v"}])), &[&format!("{e}.name: Required value")]);
    let both = json!([{"name": "A", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    refused(&container("env", both), &[&format!("{e}.valueFrom: Invalid value: \"\": may not be specified when `value` is not empty")]);
    let gpu = json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]);
    refused(
        &container("env", gpu),
        &[&format!("{e}.valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", ")],
    );
    let keyless = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m"}}}]);
    refused(&container("env", keyless), &[&format!("{e}.valueFrom.configMapKeyRef.key: Required value")]);
    refused(&container("env", json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}])), &[]);
}

#[test]
fn refuses_bad_probes() {
    let p = "spec.containers[0]";
    let live = |probe: Value| container("livenessProbe", probe);
    refused(&live(json!({"periodSeconds": 1})), &[&format!("{p}.livenessProbe: Required value: must specify a handler type")]);
    refused(
        &live(json!({"tcpSocket": {"port": 1}, "periodSeconds": -1, "initialDelaySeconds": -1})),
        &[
            &format!("{p}.livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0"),
            &format!("{p}.livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
        ],
    );
    refused(
        &live(json!({"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}})),
        &[&format!("{p}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type")],
    );
    let startup = container("startupProbe", json!({"tcpSocket": {"port": 1}, "successThreshold": 3}));
    refused(&startup, &[&format!("{p}.startupProbe.successThreshold: Invalid value: 3: must be 1")]);
    let named = container("readinessProbe", json!({"httpGet": {"port": "Bad_Name"}}));
    refused(
        &named,
        &[&format!(
            "{p}.readinessProbe.httpGet.port: Invalid value: \"Bad_Name\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        )],
    );
    let grace = container("readinessProbe", json!({"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3}));
    refused(&grace, &[&format!("{p}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes")]);
}

#[test]
fn refuses_bad_resources() {
    let p = "spec.containers[0].resources";
    let with = |resources: Value| container("resources", resources);
    refused(
        &with(json!({"requests": {"cpu": "-1"}})),
        &[&format!("{p}.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0")],
    );
    refused(
        &with(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
        &[&format!("{p}.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1")],
    );
    refused(
        &with(json!({"requests": {"example.com/gpu": "1"}})),
        &[&format!("{p}.limits: Required value: Limit must be set for non overcommitable resources")],
    );
    refused(
        &with(json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}})),
        &[&format!("{p}.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2")],
    );
    refused(
        &with(json!({"limits": {"example.com/gpu": "0.5"}})),
        &[
            &format!("{p}.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer"),
            &format!("{p}.requests[example.com/gpu]: Invalid value: \"500m\": must be an integer"),
        ],
    );
    refused(&with(json!({"limits": {"hugepages-2Mi": "2Mi"}})), &[&format!("{p}: Forbidden: HugePages require cpu or memory")]);
    let named = |part: &str| {
        [
            format!("{p}.{part}[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified"),
            format!("{p}.{part}[gpu]: Invalid value: \"gpu\": must be a standard resource for containers"),
        ]
    };
    let said = [named("limits"), named("requests")].concat();
    refused(&with(json!({"limits": {"gpu": "1"}})), &said.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn refuses_bad_volumes_and_mounts() {
    let m = "spec.containers[0].volumeMounts";
    refused(&container("volumeMounts", json!([{"name": "v", "mountPath": "/v"}])), &[&format!("{m}[0].name: Not found: \"v\"")]);
    let twice = json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]);
    refused(&mounting(twice), &[&format!("{m}[1].mountPath: Invalid value: \"/v\": must be unique")]);
    refused(
        &mounting(json!([{"name": "v", "mountPath": "/v", "subPath": "../x"}])),
        &[&format!("{m}.subPath: Invalid value: \"../x\": must not contain '..'")],
    );
    let shared = json!([{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]);
    refused(
        &mounting(shared),
        &[&format!("{m}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged")],
    );
    for (volume, said) in [
        (json!({"emptyDir": {}}), "name: Required value"),
        (json!({"name": "A_"}), "name: Invalid value: \"A_\": a lowercase RFC 1123 label"),
        (json!({"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}), "hostPath: Forbidden: may not specify more than 1 volume type"),
        (json!({"name": "v", "hostPath": {"path": "/a/../b"}}), "hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        (json!({"name": "v", "hostPath": {"path": ""}}), "hostPath.path: Required value"),
        (json!({"name": "v", "configMap": {}}), "configMap.name: Required value"),
        (
            json!({"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/../../b"}]}}),
            "configMap.items[0].path: Invalid value",
        ),
        (
            json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}}),
            "projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"name": "v", "downwardAPI": {"items": [{"path": "p"}]}}),
            "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
        ),
        (json!({"name": "v", "persistentVolumeClaim": {"claimName": ""}}), "persistentVolumeClaim.claimName: Required value"),
        (
            json!({"name": "v", "emptyDir": {"sizeLimit": "-1"}}),
            "emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
        ),
    ] {
        refused(&with("spec.volumes", json!([volume])), &[&format!("spec.volumes[0].{said}")]);
    }
}

#[test]
fn refuses_what_no_scheduler_understands() {
    refused(
        &with("spec.tolerations", json!([{"key": "a", "operator": "Nope"}])),
        &["spec.tolerations[0].operator: Unsupported value: \"Nope\": supported values: \"Equal\", \"Exists\""],
    );
    refused(
        &with("spec.tolerations", json!([{"key": "a", "operator": "Exists", "value": "b"}])),
        &["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
    );
    refused(
        &edited(with("spec.schedulingGates", json!([{"name": "g"}])), &[("spec.nodeName", json!("n"))]),
        &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    );
    let spread = |when: &str| json!({"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": when});
    refused(
        &with("spec.topologySpreadConstraints", json!([spread("Maybe")])),
        &["spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Maybe\""],
    );
    let twice = json!([spread("DoNotSchedule"), spread("DoNotSchedule")]);
    refused(
        &with("spec.topologySpreadConstraints", twice),
        &["spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, DoNotSchedule}\""],
    );
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let node = |terms: Value| {
        with("spec.affinity", json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}))
    };
    refused(&node(json!([])), &[&format!("{at}: Required value: must have at least one node selector term")]);
    refused(
        &node(
            json!([{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "b", "operator": "In"}, {"key": "c", "operator": "Gt", "values": ["x"]}]}]),
        ),
        &[
            &format!("{at}[0].matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
            &format!("{at}[0].matchExpressions[1].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
        ],
    );
    let weight = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "podAffinityTerm": {"topologyKey": "k", "labelSelector": {}}}]}});
    refused(
        &with("spec.affinity", weight),
        &[
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
        ],
    );
}

#[test]
fn refuses_contradictions_about_the_host() {
    refused(
        &edited(with("spec.hostPID", json!(true)), &[("spec.shareProcessNamespace", json!(true))]),
        &["spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"],
    );
    refused(
        &with("spec.securityContext", json!({"seccompProfile": {"type": "Localhost"}})),
        &["spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
    );
    refused(
        &with("spec.securityContext", json!({"sysctls": [{"name": "a b", "value": "1"}]})),
        &["spec.securityContext.sysctls[0].name: Invalid value: \"a b\": must have at most 253 characters"],
    );
    refused(
        &edited(with("spec.os", json!({"name": "windows"})), &[("spec.containers.0.securityContext", json!({"privileged": true}))]),
        &["spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod"],
    );
    refused(
        &with("spec.ephemeralContainers", json!([{"name": "e", "image": "i"}])),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
}

#[test]
fn a_pod_changes_in_few_places() {
    let old =
        edited(pod(), &[("spec.tolerations", json!([{"key": "a", "operator": "Exists"}])), ("spec.activeDeadlineSeconds", json!(10))]);
    let both = json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]);
    refused_update(&old, &[], &[]);
    refused_update(&old, &[("spec.containers.0.image", json!("j"))], &[]);
    refused_update(&old, &[("metadata.labels", json!({"a": "b"}))], &[]);
    refused_update(&old, &[("spec.tolerations", both)], &[]);
    refused_update(&old, &[("spec.activeDeadlineSeconds", json!(5))], &[]);
    refused_update(
        &old,
        &[("spec.activeDeadlineSeconds", json!(20))],
        &["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"],
    );
    refused_update(
        &old,
        &[("spec.activeDeadlineSeconds", Value::Null)],
        &["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
    );
    refused_update(
        &old,
        &[("spec.tolerations", json!([]))],
        &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    );
    refused_update(
        &old,
        &[("spec.containers.1", json!({"name": "d", "image": "i"}))],
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    refused_update(
        &old,
        &[("spec.schedulingGates", json!([{"name": "g"}]))],
        &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
    );
    for (path, value) in [
        ("spec.nodeName", json!("n")),
        ("spec.restartPolicy", json!("Never")),
        ("spec.terminationGracePeriodSeconds", json!(1)),
        ("spec.serviceAccountName", json!("x")),
    ] {
        refused_update(
            &old,
            &[(path, value)],
            &[
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,",
            ],
        );
    }
}

#[test]
fn a_gated_pod_may_be_narrowed() {
    let old = edited(pod(), &[("spec.schedulingGates", json!([{"name": "g"}])), ("spec.nodeSelector", json!({"a": "b"}))]);
    refused_update(&old, &[("spec.nodeSelector", json!({"a": "b", "x": "y"}))], &[]);
    refused_update(&old, &[("spec.schedulingGates", json!([]))], &[]);
    refused_update(
        &old,
        &[("spec.nodeSelector", json!({"a": "c"}))],
        &["spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"],
    );
}

#[test]
fn warns_of_what_will_not_do_what_it_looks_like() {
    let p = "spec.containers[0]";
    for (pod, said) in [
        (pod(), vec![]),
        (
            container("env", json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
            vec![format!("{p}.env[1]: hides previous definition of \"A\", which may be dropped when using apply")],
        ),
        (
            container("ports", json!([{"containerPort": 80}, {"containerPort": 80}])),
            vec![format!("{p}.ports[1]: duplicate port definition with {p}.ports[0]")],
        ),
        (
            container("resources", json!({"limits": {"memory": "100m"}})),
            ["limits", "requests"]
                .map(|part| format!("{p}.resources.{part}[memory]: fractional byte value \"100m\" is invalid, must be an integer"))
                .to_vec(),
        ),
        (with("spec.imagePullSecrets", json!([{"name": "a"}, {}])), vec!["spec.imagePullSecrets[1].name: invalid empty name \"\"".into()]),
    ] {
        let mut draft = crate::trial::row("v1", "Pod").rules.draft(pod, None).unwrap();
        draft.default();
        assert_eq!(draft.warnings(), said);
    }
}

#[test]
fn a_wrong_type_is_not_a_pod() {
    let wrong = submit(&with("spec.containers", json!("x")), None).unwrap_err();
    assert!(wrong.starts_with("Pod in version \"v1\" cannot be handled as a Pod: "), "{wrong}");
}
