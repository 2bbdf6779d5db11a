//! Whole lives of pods under a real agent, in virtual time.
pub(crate) mod cluster;

use cluster::{World, kubelet};
use knarr_image::PullError;
use knarr_runtime::{ContainerId, Error as RuntimeError, Script};
use serde_json::{Value, json};
use std::time::Duration;

fn id(attempt: u32) -> ContainerId {
    ContainerId::new("u1", "web", attempt)
}

fn spec() -> Value {
    json!({"restartPolicy": "Always", "containers": [{"name": "web", "image": "i"}]})
}

#[tokio::test(start_paused = true)]
async fn a_bound_pod_becomes_ready_with_one_status_write() {
    let world = World::new();
    let container = json!({"name": "web", "image": "i", "args": ["--to=$(TO)"], "env": [{"name": "TO", "value": "you"}], "ports": [{"containerPort": 80}]});
    world.put_pod(json!({ "containers": [container] }));
    let agent = world.start();
    world.until_ready().await;
    let started = world.runtime.started().remove(0);
    assert_eq!((started.args, started.env["HOSTNAME"].as_str(), &*started.domain), (vec!["--to=you".to_owned()], "a", "shop"));
    assert_eq!(started.listen[0].address.to_string(), "10.0.0.1:80");
    assert!(started.log_path.parent().unwrap().is_dir(), "the log's folder is there");
    assert_eq!(
        (world.status("/phase"), world.status("/podIP"), world.status("/hostIP")),
        (json!("Running"), json!("10.0.0.1"), json!("192.0.2.1"))
    );
    assert_eq!(world.status("/containerStatuses/0/imageID"), json!("r/i@sha256:i"));
    world.until("the events are written", |world| world.events().len() >= 4).await;
    assert_eq!(world.log().iter().filter(|line| *line == "pods/status a").count(), 1);
    let mut events = world.events();
    events.sort();
    assert_eq!(
        events,
        [
            "Created: Created container: web",
            "Pulled: Container image \"i\" already present on machine",
            "Started: Started container web",
            "Starting: Starting kubelet."
        ]
    );
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_node_is_registered_and_kept_alive() {
    let world = World::new();
    let agent = world.start();
    world.until("the lease is renewed", |world| world.log().iter().filter(|line| *line == "leases n1").count() > 3).await;
    let log = world.log();
    for (line, count) in [("create nodes n1", 1), ("nodes/status n1", 0), ("create leases n1", 1)] {
        assert_eq!(log.iter().filter(|one| *one == line).count(), count, "{line}: {log:?}");
    }
    let nodes = knarr_machinery::GroupResource::new("", "nodes");
    let node = world.door.shelf.get(&nodes, &knarr_machinery::Key::cluster("n1")).unwrap();
    let node: Value = serde_json::from_slice(&node.bytes).unwrap();
    assert_eq!((&node["metadata"]["labels"]["kubernetes.io/os"], &node["metadata"]["labels"]["zone"]), (&json!("linux"), &json!("a")));
    assert_eq!((&node["status"]["conditions"][3]["status"], &node["status"]["capacity"]["pods"]), (&json!("True"), &json!("10k")));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_is_registered_again_with_the_next_heartbeat() {
    let world = World::new();
    let agent = world.start();
    world.until("the lease is there", |world| world.log().iter().any(|line| line == "leases n1")).await;
    // The garbage collector takes the Lease with the Node that owns it.
    for (group, plural, namespace) in [("", "nodes", ""), ("coordination.k8s.io", "leases", "kube-node-lease")] {
        let (resource, key) = (knarr_machinery::GroupResource::new(group, plural), knarr_machinery::Key::new(namespace, "n1"));
        world.door.shelf.delete(&resource, knarr_machinery::Revision(1_000_000), &key);
    }
    let before = world.clock.now();
    world.until("both are made again", |world| world.log().iter().filter(|line| *line == "create leases n1").count() == 2).await;
    assert_eq!(world.log().iter().filter(|line| *line == "create nodes n1").count(), 2);
    assert!(world.clock.now().duration_since(before).as_secs() <= 11);
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_restarted_and_then_backed_off() {
    let world = World::new();
    world.put_pod(spec());
    let agent = world.start();
    world.until_ready().await;
    world.runtime.exit(&id(0), 134, "Error", "wasm trap");
    world.until("it is restarted", |world| world.status("/containerStatuses/0/restartCount") == json!(1)).await;
    assert_eq!(world.status("/containerStatuses/0/lastState/terminated/exitCode"), json!(134));
    assert_eq!(world.runtime.started().len(), 1, "the attempt before is forgotten");
    world.runtime.exit(&id(1), 1, "Error", "");
    world.until_waiting("CrashLoopBackOff").await;
    world.until("it is restarted again", |world| world.status("/containerStatuses/0/restartCount") == json!(2)).await;
    assert!(world.events().contains(&"BackOff: Back-off restarting failed container web in pod a_shop(u1)".to_owned()));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn commands_end_as_their_exit_codes_say() {
    for (code, phase) in [(0, "Succeeded"), (3, "Failed")] {
        let world = World::new();
        world.runtime.script("sha256:i", Script::Exits { code });
        world.put_pod(json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": "i"}]}));
        let agent = world.start();
        world.until(phase, |world| world.status("/phase") == json!(phase)).await;
        assert_eq!(world.status("/containerStatuses/0/state/terminated/exitCode"), json!(code));
        world.until("the address is given back", |world| world.network.claimed.lock().unwrap().is_empty()).await;
        agent.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn deletion_stops_the_pod_and_then_removes_it() {
    let world = World::new();
    world.put_pod(json!({"containers": [{"name": "web", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}));
    let agent = world.start();
    world.until_ready().await;
    let folder = world.data.path().join("domains/shop/pods/u1/volumes/v");
    assert!(folder.is_dir());
    let endpoint = |ready| json!({"targetRef": {"uid": "u1"}, "conditions": {"ready": ready}});
    let slices = knarr_machinery::GroupResource::new("discovery.k8s.io", "endpointslices");
    let slice =
        |ready| json!({"metadata": {"name": "s", "namespace": "shop", "uid": "s", "resourceVersion": "1"}, "endpoints": [endpoint(ready)]});
    let put = |revision, ready| {
        world.door.shelf.put(&slices, knarr_machinery::Revision(revision), slice(ready).to_string().into());
    };
    put(1_000_000, true);
    world.delete_pod(30);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.runtime.started().len(), 1, "it serves for as long as requests are sent to it");
    assert!(!world.events().iter().any(|event| event.starts_with("Killing")));
    put(1_000_001, false);
    world.until("the pod is gone", |world| world.pod().is_none()).await;
    assert!(world.runtime.started().is_empty() && world.network.claimed.lock().unwrap().is_empty() && !folder.exists());
    let log = world.log();
    let (killing, last) =
        (log.iter().any(|line| line == "event Killing: Stopping container web"), log.iter().position(|line| line == "delete pods a"));
    assert!(killing && last.is_some_and(|last| log[..last].iter().any(|line| line == "pods/status a")), "{log:?}");
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_by_force_is_stopped_all_the_same() {
    let world = World::new();
    world.put_pod(spec());
    let agent = world.start();
    world.until_ready().await;
    world.door.shelf.delete(
        &knarr_machinery::GroupResource::new("", "pods"),
        knarr_machinery::Revision(1_000_000),
        &knarr_machinery::Key::new("shop", "a"),
    );
    world.until("its container is gone", |world| world.runtime.started().is_empty()).await;
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_waited_for() {
    let world = World::new();
    let from = json!({"configMapKeyRef": {"name": "settings", "key": "color"}});
    world.put_pod(json!({"containers": [{"name": "web", "image": "i", "env": [{"name": "COLOR", "valueFrom": from}]}]}));
    let agent = world.start();
    world.until_waiting("CreateContainerConfigError").await;
    assert_eq!(world.status("/containerStatuses/0/state/waiting/message"), json!("configmap \"settings\" not found"));
    let before = world.clock.now();
    world.put("configmaps", json!({"metadata": {"name": "settings", "namespace": "shop", "uid": "c"}, "data": {"color": "blue"}}));
    world.until_ready().await;
    assert!(world.clock.now().duration_since(before).as_secs() < 5, "it did not wait for its back-off");
    assert_eq!(world.runtime.started()[0].env["COLOR"], "blue");
    assert!(world.events().contains(&"Failed: Error: configmap \"settings\" not found".to_owned()));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_run_says_why() {
    let refused = |name: &str| PullError::Registry { name: name.into(), why: "manifest unknown".into() };
    let world = World::new();
    world.images.broken.lock().unwrap().insert("i".into(), refused("i"));
    world.put_pod(spec());
    let agent = world.start();
    world.until_waiting("ErrImagePull").await;
    world.until_waiting("ImagePullBackOff").await;
    world.images.broken.lock().unwrap().insert("i".into(), PullError::NotWasm { name: "i".into(), found: "an ELF header".into() });
    world.until_waiting("ImageNotWasm").await;
    assert_eq!(world.status("/containerStatuses/0/state/waiting/message"), json!("image \"i\" is not WebAssembly: an ELF header"));
    world.images.broken.lock().unwrap().clear();
    world.runtime.script("sha256:i", Script::Fails(RuntimeError::ImportUnsatisfied("wasi:keyvalue/store".into())));
    world.until_waiting("ImportUnsatisfied").await;
    assert_eq!(world.status("/containerStatuses/0/state/waiting/message"), json!("missing import: wasi:keyvalue/store"));
    world.runtime.script("sha256:i", Script::Serves);
    world.until_ready().await;
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_adopts_what_runs_and_removes_what_nobody_wants() {
    let world = World::new();
    world.put_pod(spec());
    let agent = world.start();
    world.until_ready().await;
    agent.end().await;
    let before = world.pod();
    let mut orphan = world.runtime.started().remove(0);
    orphan.pod_uid = "u0".into();
    knarr_runtime::Runtime::start(&*world.runtime, orphan, vec![]).await.unwrap();
    let left = world.data.path().join("domains/shop/pods/u0");
    std::fs::create_dir_all(&left).unwrap();
    world.network.claimed.lock().unwrap().clear();
    let agent = world.start();
    world.until("what is left is removed", |world| world.runtime.started().len() == 1 && !left.exists()).await;
    world
        .until("the address is claimed again", |world| world.network.claimed.lock().unwrap().get("u1") == Some(&[10, 0, 0, 1].into()))
        .await;
    assert_eq!(world.runtime.started()[0].id(), id(0));
    // It goes on from there.
    world.runtime.exit(&id(0), 1, "Error", "");
    world.until("it is restarted", |world| world.status("/containerStatuses/0/restartCount") == json!(1)).await;
    assert_eq!(before.unwrap()["status"]["podIP"], world.status("/podIP"));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_away_restarts_what_was_lost_meanwhile() {
    let world = World::new();
    world.put_pod(spec());
    let agent = world.start();
    world.until_ready().await;
    agent.end().await;
    world.runtime.exit(&id(0), 137, "OOMKilled", "");
    knarr_runtime::Runtime::remove(&*world.runtime, &id(0)).await.unwrap();
    let agent = world.start();
    world.until("it is restarted", |world| world.status("/containerStatuses/0/restartCount") == json!(1)).await;
    assert_eq!(world.status("/containerStatuses/0/lastState/terminated/reason"), json!("ContainerStatusUnknown"));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_come_up_together() {
    let world = World::new();
    let agent = world.start();
    for index in 0..100 {
        let meta = json!({"name": format!("p{index}"), "namespace": "shop", "uid": format!("u{index}")});
        world.put("pods", json!({"metadata": meta, "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "i"}]}}));
    }
    world
        .until("all are ready", |world| {
            let pods = world.door.shelf.views::<knarr_cluster::views::Pod>(None);
            pods.len() == 100 && pods.iter().all(|pod| pod.is_ready())
        })
        .await;
    assert_eq!(world.log().iter().filter(|line| line.starts_with("pods/status")).count(), 100, "one write each");
    agent.end().await;
}

#[tokio::test]
async fn pods_of_other_nodes_are_none_of_its_business() {
    let world = World::new();
    let meta = |name: &str| json!({"name": name, "namespace": "shop", "uid": name});
    world.put("pods", json!({"metadata": meta("other"), "spec": {"nodeName": "n2", "containers": [{"name": "web", "image": "i"}]}}));
    world.put("pods", json!({"metadata": meta("unbound"), "spec": {"containers": [{"name": "web", "image": "i"}]}}));
    world.put_pod(spec());
    let agent = world.start();
    world.until_ready().await;
    assert_eq!(world.runtime.started().len(), 1);
    agent.end().await;
}

#[test]
fn a_certificate_that_is_none_is_refused_at_the_start() {
    let broken = crate::Kubelet { certificate_pem: "no".into(), ..kubelet() };
    assert!(crate::kubelet::Server::new(&broken).is_err());
}
