//! Cases of the differential families sched-fit, sched-taint, sched-affinity, sched-ports, sched-score with what a real v1.37 answered.
use super::*;
use crate::{node_info::Usage, plugins};
use knarr_cluster::views::Node;
use serde_json::{Value, from_value, json};

/// A node in the short form of the scenarios: `n`, `cpu`, `mem`, `pods`, `ext`, `labels`, `taints`, `off`.
fn node(short: &Value) -> NodeInfo {
    let text = |field: &str, default: &str| short[field].as_str().unwrap_or(default).to_owned();
    let taint = |text: &Value| {
        let (key, effect) = text.as_str().unwrap().rsplit_once(':').unwrap();
        let (key, value) = key.split_once('=').unwrap_or((key, ""));
        json!({"key": key, "value": value, "effect": effect})
    };
    let mut taints: Vec<_> = short["taints"].as_array().into_iter().flatten().map(taint).collect();
    if short["off"] == true {
        taints.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
    }
    let mut allocatable =
        json!({"cpu": text("cpu", "8"), "memory": text("mem", "32Gi"), "pods": text("pods", "110"), "ephemeral-storage": "100Gi"});
    allocatable.as_object_mut().unwrap().extend(short["ext"].as_object().cloned().unwrap_or_default());
    let labels = if short["labels"].is_null() { json!({}) } else { short["labels"].clone() };
    let node: Node = from_value(
        json!({"metadata": {"name": short["n"], "labels": labels}, "spec": {"taints": taints, "unschedulable": short["off"] == true},
        "status": {"allocatable": allocatable}}),
    )
    .unwrap();
    NodeInfo::new(Arc::new(node), Usage::default())
}

/// A pod in the short form of the scenarios: `cpu`, `mem`, `eph`, `ext`, `ports`, `containers`, `init`, `spec`.
fn pod(short: &Value) -> Arc<Pod> {
    let mut requests = short["ext"].as_object().cloned().unwrap_or_default();
    for (field, name) in [("cpu", "cpu"), ("mem", "memory"), ("eph", "ephemeral-storage")] {
        if !short[field].is_null() {
            requests.insert(name.into(), short[field].clone());
        }
    }
    let ports = if short["ports"].is_null() { json!([]) } else { short["ports"].clone() };
    let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": requests}, "ports": ports}], "initContainers": []});
    spec.as_object_mut().unwrap().extend(short["spec"].as_object().cloned().unwrap_or_default());
    for (field, more) in [("containers", &short["containers"]), ("initContainers", &short["init"])] {
        spec[field].as_array_mut().unwrap().extend(more.as_array().cloned().unwrap_or_default());
    }
    Arc::new(from_value(json!({"metadata": {"name": "p", "namespace": "one"}, "spec": spec})).unwrap())
}

fn decide_on(nodes: &[NodeInfo], short: &Value) -> Decision {
    decide(&plugins::all(), &Candidate::new(pod(short)), nodes.iter())
}

fn nodes(short: &Value, bound: &Value) -> Vec<NodeInfo> {
    let mut nodes: Vec<_> = short.as_array().unwrap().iter().map(node).collect();
    for bound in bound.as_array().into_iter().flatten() {
        let on = nodes.iter_mut().find(|info| *info.node.metadata.name == *bound["on"].as_str().unwrap()).unwrap();
        (0..bound["x"].as_i64().unwrap_or(1)).for_each(|_| on.usage.add(&Share::of(&pod(bound))));
    }
    nodes
}

/// Where a pod goes, or why nowhere.
fn outcome(nodes_short: &Value, bound: &Value, short: &Value) -> String {
    match decide_on(&nodes(nodes_short, bound), short) {
        Decision::Place { node } => node.into(),
        Decision::Unschedulable { message } => message,
    }
}

fn check(cases: &[(Value, Value, Value, &str)]) {
    for (nodes, bound, pod, expected) in cases {
        assert_eq!(outcome(nodes, bound, pod), *expected, "{pod} on {nodes} beside {bound}");
    }
}

const SMALL: &str =
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
const FULL: &str =
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

#[test]
fn fits() {
    let two = || json!([{"n": "n1", "cpu": "2", "mem": "4Gi"}]);
    let cpu = |cpu: &str| json!({"name": "x", "resources": {"requests": {"cpu": cpu}}});
    let sidecar = |cpu: &str| json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
    check(&[
        (two(), json!([]), json!({"cpu": "1999.5m"}), "n1"),
        (
            two(),
            json!([]),
            json!({"mem": "4.3G"}),
            "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (two(), json!([]), json!({"mem": "4.2G"}), "n1"),
        (
            two(),
            json!([]),
            json!({"eph": "101Gi"}),
            "0/1 nodes are available: 1 Insufficient ephemeral-storage. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (
            two(),
            json!([]),
            json!({"cpu": "1", "ext": {"hugepages-2Mi": "4Mi"}}),
            "0/1 nodes are available: 1 Insufficient hugepages-2Mi. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (two(), json!([]), json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}}), SMALL),
        (two(), json!([]), json!({}), "n1"),
        (two(), json!([]), json!({"cpu": "1", "containers": [cpu("1001m")]}), SMALL),
        (two(), json!([]), json!({"cpu": "1", "init": [cpu("1500m"), cpu("1500m")]}), "n1"),
        (two(), json!([]), json!({"cpu": "2", "init": [cpu("2")]}), "n1"),
        (two(), json!([]), json!({"cpu": "1500m", "init": [sidecar("500m")]}), "n1"),
        (two(), json!([]), json!({"cpu": "100m", "init": [sidecar("1"), cpu("1200m")]}), SMALL),
        (two(), json!([]), json!({"cpu": "100m", "init": [sidecar("400m"), cpu("1500m"), sidecar("1")]}), "n1"),
        (json!([{"n": "n1", "cpu": "1"}, {"n": "n2", "cpu": "2"}, {"n": "n3", "cpu": "1500m"}]), json!([]), json!({"cpu": "1800m"}), "n2"),
        (
            json!([{"n": "n1", "pods": "0"}]),
            json!([]),
            json!({}),
            "0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        ),
        (
            json!([{"n": "n1", "ext": {"example.com/gpu": "2"}}, {"n": "n2", "ext": {"example.com/gpu": "1"}}]),
            json!([{"on": "n1", "ext": {"example.com/gpu": "1"}}]),
            json!({"ext": {"example.com/gpu": "2"}}),
            "0/2 nodes are available: 2 Insufficient example.com/gpu. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
        ),
        (
            json!([{"n": "n1", "ext": {"example.com/a": "1"}}, {"n": "n2", "ext": {"example.com/b": "1"}}]),
            json!([]),
            json!({"ext": {"example.com/a": "1", "example.com/b": "1"}}),
            "0/2 nodes are available: 1 Insufficient example.com/a, 1 Insufficient example.com/b. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        ),
        (two(), json!([{"on": "n1", "cpu": "2"}]), json!({"cpu": "1"}), FULL),
        (two(), json!([{"on": "n1", "cpu": "2"}]), json!({"cpu": "0"}), "n1"),
        (two(), json!([]), json!({"cpu": "1600m", "spec": {"overhead": {"cpu": "500m", "memory": "1Gi"}}}), SMALL),
        (two(), json!([]), json!({"cpu": "1500m", "spec": {"overhead": {"cpu": "500m", "memory": "1Gi"}}}), "n1"),
        (two(), json!([{"on": "n1", "cpu": "500m", "spec": {"overhead": {"cpu": "500m"}}}]), json!({"cpu": "1100m"}), FULL),
        (json!([]), json!([]), json!({"cpu": "1"}), "no nodes available to schedule pods"),
        (
            two(),
            json!([]),
            json!({"cpu": "3", "spec": {"preemptionPolicy": "Never"}}),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ),
    ]);
}

const TAINTED: &str = "0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

#[test]
fn tolerates() {
    let tainted = |taints: &[&str]| json!([{"n": "n1", "taints": taints}]);
    let tolerating = |tolerations: Value| json!({"spec": {"tolerations": tolerations}});
    check(&[
        (tainted(&["k=v:NoSchedule"]), json!([]), tolerating(json!([{"key": "k", "value": "v", "effect": "NoSchedule"}])), "n1"),
        (tainted(&["k=v:NoSchedule"]), json!([]), tolerating(json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}])), "n1"),
        (tainted(&["k=v:NoExecute"]), json!([]), tolerating(json!([{"key": "k", "operator": "Exists"}])), "n1"),
        (tainted(&["k=v:NoSchedule", "l=w:NoExecute"]), json!([]), tolerating(json!([{"operator": "Exists"}])), "n1"),
        (tainted(&["k=v:NoSchedule", "l=w:NoSchedule"]), json!([]), tolerating(json!([{"key": "k", "operator": "Exists"}])), TAINTED),
        (
            tainted(&["k=v:NoSchedule", "l=w:NoSchedule"]),
            json!([]),
            tolerating(json!([{"key": "k", "operator": "Exists"}, {"key": "l", "operator": "Equal", "value": "w"}])),
            "n1",
        ),
        (tainted(&["k:NoSchedule"]), json!([]), json!({}), TAINTED),
        (tainted(&["k=v:NoSchedule"]), json!([]), tolerating(json!([{"key": "j", "operator": "Exists"}])), TAINTED),
        (
            json!([{"n": "n1", "taints": ["a=1:PreferNoSchedule", "b=1:PreferNoSchedule"]}, {"n": "n2", "taints": ["c=1:PreferNoSchedule"]}]),
            json!([]),
            json!({"cpu": "100m"}),
            "n2",
        ),
        (
            json!([{"n": "n1", "taints": ["a=1:PreferNoSchedule"]}, {"n": "n2"}]),
            json!([{"on": "n2", "cpu": "2", "mem": "8Gi"}]),
            json!({"cpu": "100m", "spec": {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]}}),
            "n2",
        ),
        (
            json!([{"n": "n1", "off": true}]),
            json!([]),
            json!({}),
            "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
    ]);
}

#[test]
fn goes_where_its_affinity_says() {
    let four = || {
        json!([{"n": "n1", "labels": {"tier": "web", "gen": "3", "fast": ""}}, {"n": "n2", "labels": {"tier": "db", "gen": "7"}},
            {"n": "n3", "labels": {"tier": "cache", "gen": "new"}}, {"n": "n4"}])
    };
    let affinity = |affinity: Value| json!({"spec": {"affinity": {"nodeAffinity": affinity}}});
    let required = |terms: Value| affinity(json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}));
    let preferred = |list: Value| affinity(json!({"preferredDuringSchedulingIgnoredDuringExecution": list}));
    let label =
        |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    let name = |operator: &str, name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]});
    check(&[
        (four(), json!([]), required(json!([label("fast", "Exists", &[])])), "n1"),
        (four(), json!([]), required(json!([label("tier", "DoesNotExist", &[])])), "n4"),
        (four(), json!([]), required(json!([label("gen", "Gt", &["3"])])), "n2"),
        (four(), json!([]), required(json!([label("gen", "Lt", &["4"])])), "n1"),
        (four(), json!([]), required(json!([label("tier", "NotIn", &["web", "db"]), label("tier", "In", &["none"])])), "n3"),
        (four(), json!([]), required(json!([{}, label("tier", "In", &["db"])])), "n2"),
        (four(), json!([]), required(json!([name("In", "n4")])), "n4"),
        (
            four(),
            json!([]),
            required(
                json!([{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}], "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n3"]}]}]),
            ),
            "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
        ),
        (
            four(),
            json!([]),
            required(json!([name("In", "nowhere")])),
            "0/4 nodes are available: 4 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
        ),
        (four(), json!([]), preferred(json!([{"weight": 10, "preference": label("tier", "In", &["db"])}])), "n2"),
        (four(), json!([]), preferred(json!([{"weight": 7, "preference": name("In", "n4")}])), "n4"),
        (
            four(),
            json!([]),
            preferred(
                json!([{"weight": 100, "preference": label("tier", "In", &["none"])}, {"weight": 1, "preference": label("tier", "In", &["cache"])}]),
            ),
            "n3",
        ),
        (four(), json!([]), json!({"spec": {"nodeSelector": {"tier": "cache"}}}), "n3"),
    ]);
}

#[test]
fn wants_free_host_ports() {
    let one = || json!([{"n": "n1"}]);
    let taken = || json!([{"on": "n1", "ports": [{"containerPort": 80, "hostPort": 8080}]}]);
    let wants = |port: Value| json!({"ports": [port]});
    const CLASH: &str = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    check(&[
        (one(), taken(), wants(json!({"containerPort": 80, "hostPort": 8080})), CLASH),
        (one(), taken(), wants(json!({"containerPort": 80, "hostPort": 8080, "protocol": "UDP"})), "n1"),
        (one(), taken(), wants(json!({"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"})), CLASH),
        (
            one(),
            json!([{"on": "n1", "init": [{"name": "s", "restartPolicy": "Always", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}]),
            wants(json!({"containerPort": 80, "hostPort": 8080})),
            CLASH,
        ),
        (
            one(),
            json!([{"on": "n1", "init": [{"name": "i", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}]),
            wants(json!({"containerPort": 80, "hostPort": 8080})),
            "n1",
        ),
    ]);
}

#[test]
fn prefers() {
    let soft = || json!({"n": "n1", "taints": ["soft=x:PreferNoSchedule"]});
    let fast = |weight: i64| json!({"cpu": "1", "mem": "1Gi", "spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]}}]}}}});
    check(&[
        (
            json!([{"n": "n1", "cpu": "10", "mem": "10Gi"}, {"n": "n2", "cpu": "10", "mem": "10Gi"}]),
            json!([{"on": "n1", "cpu": "5", "mem": "1Gi"}, {"on": "n2", "cpu": "3", "mem": "3Gi"}]),
            json!({"cpu": "1", "mem": "1Gi"}),
            "n1",
        ),
        (
            json!([{"n": "n1", "cpu": "2", "mem": "2Gi"}, {"n": "n2", "cpu": "2", "mem": "2Gi"}]),
            json!([{"on": "n1", "x": 4}, {"on": "n2", "x": 1}]),
            json!({}),
            "n2",
        ),
        (json!([soft(), {"n": "n2"}]), json!([{"on": "n2", "cpu": "4", "mem": "16Gi"}]), json!({"cpu": "1", "mem": "1Gi"}), "n2"),
        (json!([{"n": "n1", "labels": {"fast": "yes"}}, {"n": "n2"}]), json!([{"on": "n1", "cpu": "4", "mem": "16Gi"}]), fast(1), "n1"),
        (json!([{"n": "n1", "labels": {"fast": "yes"}, "taints": ["soft=x:PreferNoSchedule"]}, {"n": "n2"}]), json!([]), fast(100), "n2"),
    ]);
}

/// The tables sched-score/table-*: three nodes at random use, three pods in turn.
#[test]
fn scores_like_upstream() {
    for (nodes_, used, pods, expected) in [
        ("16/32 16/32 8/16", "1752/14797 6156/15079 3145/1967", "799/1063 715/1757 388/903", "n1 n3 n1"),
        ("16/32 4/8 4/32", "3017/10519 1905/5256 1708/2138", "460/1208 263/1809 981/172", "n1 n3 n1"),
        ("16/8 16/16 8/32", "10123/1570 8074/6257 618/7444", "308/1113 246/564 372/1393", "n3 n3 n3"),
        ("16/8 16/8 8/32", "5363/968 3574/1682 1077/9107", "200/433 165/1311 260/1414", "n3 n3 n1"),
        ("8/16 4/8 4/8", "753/9727 1243/2094 2713/657", "941/608 821/1027 677/1564", "n1 n2 n1"),
        ("8/16 16/8 4/32", "4327/3798 9598/3304 2713/8019", "104/675 693/1183 994/184", "n1 n1 n2"),
        ("8/8 4/32 16/16", "4510/1011 2345/1812 4293/8759", "238/1974 764/1863 935/1298", "n2 n1 n3"),
    ] {
        let pair = |text: &str| text.split_once('/').map(|(cpu, mem)| (cpu.to_owned(), mem.to_owned())).unwrap();
        let asks = |(cpu, mem): (String, String)| json!({"cpu": format!("{cpu}m"), "mem": format!("{mem}Mi")});
        let mut nodes: Vec<_> = nodes_
            .split(' ')
            .map(pair)
            .zip(1..)
            .map(|((cpu, mem), n)| node(&json!({"n": format!("n{n}"), "cpu": cpu, "mem": format!("{mem}Gi")})))
            .collect();
        for (info, used) in nodes.iter_mut().zip(used.split(' ')) {
            info.usage.add(&Share::of(&pod(&asks(pair(used)))));
        }
        let mut placed = vec![];
        for short in pods.split(' ').map(|text| asks(pair(text))) {
            let Decision::Place { node } = decide_on(&nodes, &short) else { panic!("no place") };
            let on = nodes.iter_mut().find(|info| info.node.metadata.name == node).unwrap();
            on.usage.add(&Share::of(&pod(&short)));
            placed.push(node.to_string());
        }
        assert_eq!(placed.join(" "), expected, "{nodes_} {used}");
    }
}
