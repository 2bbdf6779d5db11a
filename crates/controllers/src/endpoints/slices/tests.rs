use super::*;
use crate::said::said;
use serde_json::from_value;

/// A pod from a few words: name, IP, then any of `ready`, `leaving`, `web=PORT` for a named port.
fn pod(words: &str) -> Arc<Pod> {
    let mut words = words.split(' ');
    let (name, ip) = (words.next().unwrap(), words.next().unwrap());
    let mut pod = json!({"metadata": {"name": name, "namespace": "one", "uid": name, "labels": {"app": "a"}}, "spec": {"nodeName": "w", "containers": []},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ready", _) => pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]),
            ("leaving", _) => pod["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z"),
            (name, port) => {
                pod["spec"]["containers"] = json!([{"name": "c", "ports": [{"name": name, "containerPort": port.parse::<u16>().unwrap()}]}])
            }
        }
    }
    Arc::new(from_value(pod).unwrap())
}

fn service(spec: &Value) -> Arc<Service> {
    let mut service = json!({"metadata": {"name": "svc", "namespace": "one", "uid": "svc", "labels": {"l": "1"}}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    Arc::new(from_value(service).unwrap())
}

fn look(spec: &Value, pods: &[&str], slices: Vec<Arc<EndpointSlice>>) -> Look {
    Look {
        service: service(spec),
        pods: pods.iter().map(|words| pod(words)).collect(),
        zones: BTreeMap::from([("w".into(), "za".into())]),
        slices,
    }
}

/// The slices that are made for these pods, each as `port: address ready/serving/terminating, ...`.
fn made(spec: &Value, pods: &[&str]) -> Vec<String> {
    let plan = EndpointSlices.reconcile(&look(spec, pods, vec![]), Timestamp::UNIX_EPOCH);
    let one = |action: &Action| {
        let Action::Create { object, .. } = action else { panic!("{action:?}") };
        let ports: Vec<_> =
            object["ports"].as_array().unwrap().iter().map(|port| format!("{}{}", port["name"].as_str().unwrap(), port["port"])).collect();
        let yes = |value: &Value| if value.as_bool().unwrap() { "yes" } else { "no" };
        let endpoint = |e: &Value| {
            let c = &e["conditions"];
            format!("{} {}/{}/{}", e["addresses"][0].as_str().unwrap(), yes(&c["ready"]), yes(&c["serving"]), yes(&c["terminating"]))
        };
        let endpoints: Vec<_> = object["endpoints"].as_array().unwrap().iter().map(endpoint).collect();
        format!("{}: {}", ports.join(","), endpoints.join(", "))
    };
    plan.actions.iter().map(one).collect()
}

/// The slices after a plan, as the shelf would show them.
fn after(plan: Plan) -> Vec<Arc<EndpointSlice>> {
    let slice = |(index, action): (usize, Action)| {
        let Action::Create { mut object, .. } = action else { panic!("{action:?}") };
        object["metadata"]["name"] = json!(format!("svc-{index}"));
        object["metadata"]["uid"] = json!(format!("svc-{index}"));
        Arc::new(from_value(object).unwrap())
    };
    plan.actions.into_iter().enumerate().map(slice).collect()
}

#[test]
fn says_of_each_pod_whether_it_is_ready_serving_or_leaving() {
    for (spec, pods, expected) in [
        (json!({}), &["a 10.9.0.1 ready", "b 10.9.0.2"][..], &["80: 10.9.0.1 yes/yes/no, 10.9.0.2 no/no/no"][..]),
        (json!({}), &["a 10.9.0.1 ready leaving", "b 10.9.0.2 leaving"][..], &["80: 10.9.0.1 no/yes/yes, 10.9.0.2 no/no/yes"][..]),
        (
            json!({"publishNotReadyAddresses": true}),
            &["a 10.9.0.1", "b 10.9.0.2 ready leaving"][..],
            &["80: 10.9.0.1 yes/no/no, 10.9.0.2 yes/yes/yes"][..],
        ),
        (json!({}), &[][..], &[": "][..]),
        (json!({"clusterIP": "None", "ports": null}), &["a 10.9.0.1 ready"][..], &[": 10.9.0.1 yes/yes/no"][..]),
        (json!({"selector": {}}), &[][..], &[][..]),
        (
            json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}),
            &["a 10.9.0.1 ready web=8080", "b 10.9.0.2 ready web=9090", "c 10.9.0.3 ready other=8080"][..],
            &["http8080: 10.9.0.1 yes/yes/no", "http9090: 10.9.0.2 yes/yes/no", ": 10.9.0.3 yes/yes/no"][..],
        ),
    ] {
        assert_eq!(made(&spec, pods), expected, "{spec} {pods:?}");
    }
}

#[test]
fn holds_a_hundred_to_a_slice() {
    let pods: Vec<_> = (0..103).map(|index| format!("p{index} 10.9.1.{index} ready")).collect();
    let pods: Vec<_> = pods.iter().map(String::as_str).collect();
    let slices = after(EndpointSlices.reconcile(&look(&json!({}), &pods, vec![]), Timestamp::UNIX_EPOCH));
    assert_eq!(slices.iter().map(|slice| slice.endpoints.len()).collect::<Vec<_>>(), [100, 3]);
}

#[test]
fn writes_only_what_changed_and_keeps_each_where_it_is() {
    let first = ["a 10.9.0.1 ready", "b 10.9.0.2 ready"];
    let slices = || after(EndpointSlices.reconcile(&look(&json!({}), &first, vec![]), Timestamp::UNIX_EPOCH));
    for (pods, expected) in [
        (&first[..], ""),
        (&["a 10.9.0.1", "b 10.9.0.2 ready"][..], "patch endpointslices svc-0"),
        (&["b 10.9.0.2 ready", "c 10.9.0.3 ready"][..], "patch endpointslices svc-0"),
        (&[][..], "patch endpointslices svc-0"),
    ] {
        assert_eq!(said(&EndpointSlices.reconcile(&look(&json!({}), pods, slices()), Timestamp::UNIX_EPOCH)), expected, "{pods:?}");
    }
}

#[test]
fn a_slice_of_other_ports_is_replaced() {
    let pods = ["a 10.9.0.1 ready"];
    let slices = after(EndpointSlices.reconcile(&look(&json!({}), &pods, vec![]), Timestamp::UNIX_EPOCH));
    let plan = EndpointSlices.reconcile(&look(&json!({"ports": [{"port": 81}]}), &pods, slices), Timestamp::UNIX_EPOCH);
    assert_eq!(said(&plan), "create endpointslices svc-*, delete endpointslices svc-0");
}

#[test]
fn labels_say_whose_it_is() {
    let slices =
        after(EndpointSlices.reconcile(&look(&json!({"clusterIP": "None"}), &["a 10.9.0.1 ready"], vec![]), Timestamp::UNIX_EPOCH));
    let labels = json!({"l": "1", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "svc", "service.kubernetes.io/headless": ""});
    assert_eq!(json!(slices[0].metadata.labels), labels);
    assert_eq!(slices[0].endpoints[0].zone.as_deref(), Some("za"));
    assert_eq!(slices[0].metadata.controller().map(|owner| &*owner.uid), Some("svc"));
}
