//! All loops together over a fake front door: what one writes wakes the next.
use super::*;
use jiff::Timestamp;
use knarr_cluster::{
    Options, PatchType, Target, Verb, View, Write,
    views::{ConfigMap, Deployment, EndpointSlice, Namespace, Pod, ReplicaSet, Service, ServiceAccount},
};
use knarr_kinds::Kind;
use knarr_machinery::Key;
use knarr_reconcile::fake;
use serde_json::{Value, json};
use std::time::Duration;

struct Play {
    cluster: Cluster,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Play {
    async fn start() -> Self {
        use k8s_openapi::api::{apps, core, discovery};
        let kinds = Table::new(vec![
            Kind::of::<core::v1::Namespace>(),
            Kind::of::<core::v1::ConfigMap>(),
            Kind::of::<core::v1::ServiceAccount>(),
            Kind::of::<core::v1::Service>(),
            Kind::of::<core::v1::Pod>(),
            Kind::of::<apps::v1::ReplicaSet>(),
            Kind::of::<apps::v1::Deployment>(),
            Kind::of::<discovery::v1::EndpointSlice>(),
        ]);
        let play = Self { cluster: fake::cluster(Timestamp::UNIX_EPOCH), stop: CancellationToken::new(), tracker: TaskTracker::new() };
        let node_ipam = NodeIpam { cluster_cidr: "10.244.0.0/16".parse().expect("a network"), node_prefix: 24 };
        let settings = Settings { kinds, root_ca_pem: "PEM".into(), node_ipam: Some(node_ipam) };
        spawn(&Selection::all(), &settings, &play.cluster, &play.tracker, &play.stop);
        play.create::<Namespace>(json!({"metadata": {"name": "one"}, "spec": {"finalizers": ["kubernetes"]}})).await;
        play
    }

    async fn create<V: View>(&self, object: Value) {
        fake::create(&self.cluster, &V::resource(), &object).await;
        self.settle().await;
    }

    /// Time for all loops to come to rest; paused, so it passes at once.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    async fn write<V: View>(&self, verb: Verb, key: Key, subresource: Option<&str>, body: &Value) {
        let target = Target { resource: V::resource(), version: None, key, subresource: subresource.map(Into::into) };
        let body = serde_json::to_vec(body).expect("JSON").into();
        let write = Write { verb, target, body, options: Options::default() };
        self.cluster.door.submit(&Identity::default(), write).await.expect("it is there");
    }

    /// What a node agent would say of every pod.
    async fn make_pods_ready(&self) {
        for (pod, n) in self.cluster.shelf.views::<Pod>(None).iter().zip(1..) {
            let ip = format!("10.244.0.{n}");
            let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"});
            let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]}});
            self.write::<Pod>(Verb::Patch(PatchType::Merge), pod.metadata.key(), Some("status"), &status).await;
        }
        self.settle().await;
    }

    fn count<V: View>(&self) -> usize {
        self.cluster.shelf.views::<V>(Some("one")).len()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn deployment(replicas: i32) -> Value {
    json!({"metadata": {"name": "web", "namespace": "one"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "strategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}}}})
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_pods_and_endpoints_and_takes_them_with_it() {
    let play = Play::start().await;
    play.create::<Service>(
        json!({"metadata": {"name": "web", "namespace": "one"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}}),
    )
    .await;
    play.create::<Deployment>(deployment(3)).await;
    assert_eq!((play.count::<ReplicaSet>(), play.count::<Pod>()), (1, 3));
    play.make_pods_ready().await;
    let web = Key::new("one", "web");
    let status = play.cluster.shelf.view::<Deployment>(&web).expect("it is there").status.clone();
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, 3, 3));
    let slices = play.cluster.shelf.views::<EndpointSlice>(Some("one"));
    assert_eq!(slices.iter().flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.conditions.ready == Some(true)).count(), 3);
    play.write::<Deployment>(Verb::Delete, web, None, &json!({})).await;
    play.settle().await;
    assert_eq!((play.count::<Deployment>(), play.count::<ReplicaSet>(), play.count::<Pod>()), (0, 0, 0));
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_rolls_over_and_the_old_set_stays_empty() {
    let play = Play::start().await;
    play.create::<Deployment>(deployment(2)).await;
    play.make_pods_ready().await;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "app:2"}]}}}});
    play.write::<Deployment>(Verb::Patch(PatchType::Merge), Key::new("one", "web"), None, &image).await;
    for _ in 0..4 {
        play.settle().await;
        play.make_pods_ready().await;
    }
    let mut sizes: Vec<_> =
        play.cluster.shelf.views::<ReplicaSet>(Some("one")).iter().map(|set| (set.spec.replicas, set.status.available_replicas)).collect();
    sizes.sort();
    assert_eq!((sizes, play.count::<Pod>()), (vec![(Some(0), 0), (Some(2), 2)], 2));
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_replicas_and_back() {
    let play = Play::start().await;
    play.create::<Deployment>(deployment(100)).await;
    assert_eq!(play.count::<Pod>(), 100);
    play.write::<Deployment>(Verb::Patch(PatchType::Merge), Key::new("one", "web"), None, &json!({"spec": {"replicas": 1}})).await;
    play.settle().await;
    assert_eq!(play.count::<Pod>(), 1);
    play.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_has_its_own_things_and_goes_with_all_in_it() {
    let play = Play::start().await;
    assert_eq!((play.count::<ServiceAccount>(), play.count::<ConfigMap>()), (1, 1));
    play.create::<Deployment>(deployment(2)).await;
    play.write::<Namespace>(Verb::Delete, Key::cluster("one"), None, &json!({})).await;
    play.settle().await;
    assert!(play.cluster.shelf.view::<Namespace>(&Key::cluster("one")).is_none(), "it is gone");
    assert_eq!((play.count::<ServiceAccount>(), play.count::<ConfigMap>(), play.count::<Deployment>(), play.count::<Pod>()), (0, 0, 0, 0));
    play.end().await;
}
