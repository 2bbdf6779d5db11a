use crate::{ApiServer, Config, keeps};
use knarr_access::Pki;
use knarr_cluster::{Clock, Cluster, FieldValidation, Identity, Options, PatchType, Preconditions, Propagation, Target, Verb, Write};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key};
use knarr_store::MemoryStore;
use serde_json::{Value, json};
use std::sync::Arc;

/// A server over a store in memory, and one who may do everything.
pub(crate) struct Bench {
    pub(crate) api: ApiServer,
    pub(crate) pki: Arc<Pki>,
    store: Arc<MemoryStore>,
    cluster: Cluster,
    who: Identity,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new(keeps(&Table::new(knarr_kinds::builtin()))));
        Self::over(store, folder).await
    }

    /// Another server over the same store.
    async fn reopened(self) -> Self {
        self.api.close().await;
        Self::over(self.store, self.folder).await
    }

    async fn over(store: Arc<MemoryStore>, folder: tempfile::TempDir) -> Self {
        let pki = Arc::new(Pki::open_or_create(folder.path(), &[]).unwrap());
        let config = Config {
            store: Arc::clone(&store) as _,
            kinds: Table::new(knarr_kinds::builtin()),
            pki: Arc::clone(&pki),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            node_ports: (30000, 32767),
            advertise: Some("10.0.0.1:6443".parse().unwrap()),
            clock: Clock::System,
        };
        let api = ApiServer::open(config).await.unwrap();
        let who = Identity { user: "admin".into(), groups: vec!["system:masters".into()], ..Identity::default() };
        Self { cluster: api.cluster(), api, pki, store, who, folder }
    }

    /// `VERB plural[.group][/sub] [namespace/]name [options]`; the answer is `ok` or the code with the message, and the object.
    pub(crate) async fn ask(&self, line: &str, body: &Value) -> (String, Value) {
        let mut words = line.split(' ');
        let (verb, what, key) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let (what, subresource) = what.split_once('/').map_or((what, None), |(what, sub)| (what, Some(sub.to_owned())));
        let (plural, group) = what.split_once('.').unwrap_or((what, ""));
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let verb = match verb {
            "create" => Verb::Create,
            "update" => Verb::Update,
            "merge" => Verb::Patch(PatchType::Merge),
            "json" => Verb::Patch(PatchType::Json),
            "strategic" => Verb::Patch(PatchType::Strategic),
            "delete" => Verb::Delete,
            other => panic!("no verb {other}"),
        };
        let mut options = Options::default();
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("dry-run", _) => options.dry_run = true,
                ("strict", _) => options.field_validation = FieldValidation::Strict,
                ("grace", seconds) => options.grace_period_seconds = Some(seconds.parse().unwrap()),
                ("foreground", _) => options.propagation = Some(Propagation::Foreground),
                ("uid", uid) => options.preconditions = Preconditions { uid: Some(uid.into()), resource_version: None },
                other => panic!("no option {other:?}"),
            }
        }
        let target = Target { resource: GroupResource::new(group, plural), version: None, key: Key::new(namespace, name), subresource };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let done = self.cluster.door.submit(&self.who, Write { verb, target, body: body.into(), options }).await;
        match done {
            Ok(done) => {
                let warned = if done.warnings.is_empty() { String::new() } else { format!(" warned: {}", done.warnings.join(", ")) };
                (format!("ok{warned}"), serde_json::from_slice(&done.object).unwrap())
            }
            Err(status) => (format!("{} {}", status.code, status.message), status.to_json()),
        }
    }

    /// Asks, and compares what is said and the fields that are named: `/metadata/generation=1`.
    #[track_caller]
    fn check<'a>(&'a self, line: &'a str, body: Value, said: &'a str, fields: &'a [(&'a str, Value)]) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let (answer, object) = self.ask(line, &body).await;
            assert_eq!(answer, said, "{line} at {at}: {object}");
            for (path, expected) in fields {
                let found = object.pointer(path).cloned().unwrap_or(Value::Null);
                assert_eq!(&found, expected, "{path} of {line} at {at}: {object}");
            }
            object
        }
    }

    fn get(&self, plural: &str, key: &str) -> Option<Value> {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let (plural, group) = plural.split_once('.').unwrap_or((plural, ""));
        let entry = self.cluster.shelf.get(&GroupResource::new(group, plural), &Key::new(namespace, name))?;
        Some(serde_json::from_slice(&entry.bytes).unwrap())
    }
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn deployment(replicas: u32) -> Value {
    json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test]
async fn a_cluster_begins_with_its_namespaces_and_its_service() {
    let bench = Bench::open().await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = bench.get("namespaces", name).unwrap();
        assert_eq!((&namespace["status"]["phase"], &namespace["spec"]["finalizers"]), (&json!("Active"), &json!(["kubernetes"])));
    }
    let service = bench.get("services", "default/kubernetes").unwrap();
    assert_eq!((&service["spec"]["clusterIP"], &service["spec"]["ports"][0]["targetPort"]), (&json!("10.96.0.1"), &json!(6443)));
    assert_eq!(bench.get("endpoints", "default/kubernetes").unwrap()["subsets"][0]["addresses"][0]["ip"], "10.0.0.1");
    assert_eq!(bench.get("endpointslices.discovery.k8s.io", "default/kubernetes").unwrap()["endpoints"][0]["addresses"][0], "10.0.0.1");
}

#[tokio::test]
async fn what_is_written_is_on_the_shelf_when_the_answer_comes() {
    let bench = Bench::open().await;
    let made = bench.check("create configmaps default/", json!({"metadata": {"name": "a"}, "data": {"k": "v"}}), "ok", &[]).await;
    assert_eq!(bench.get("configmaps", "default/a").unwrap(), made);
    let exists = r#"409 configmaps "a" already exists"#;
    bench.check("create configmaps default/", json!({"metadata": {"name": "a"}}), exists, &[("/details/kind", json!("configmaps"))]).await;
    bench.check("create configmaps none/", json!({"metadata": {"name": "a"}}), r#"404 namespaces "none" not found"#, &[]).await;
    let versioned = json!({"metadata": {"name": "b", "resourceVersion": "5"}});
    bench.check("create configmaps default/", versioned, "500 resourceVersion should not be set on objects to be created", &[]).await;
    bench.check("create nonsense default/", json!({}), "404 the server could not find the requested resource", &[]).await;
}

#[tokio::test]
async fn names_are_made_from_a_prefix() {
    let bench = Bench::open().await;
    let long = "x".repeat(80);
    let made = bench.check("create configmaps default/", json!({"metadata": {"generateName": format!("{long}-")}}), "ok", &[]).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with(&long[..58]) && name.len() == 63, "{name}");
}

#[tokio::test]
async fn a_no_op_does_not_bump_the_version() {
    let bench = Bench::open().await;
    let made = bench.check("create configmaps default/", json!({"metadata": {"name": "a"}, "data": {"k": "v"}}), "ok", &[]).await;
    let version = [("/metadata/resourceVersion", made["metadata"]["resourceVersion"].clone())];
    bench.check("update configmaps default/a", json!({"metadata": {"name": "a"}, "data": {"k": "v"}}), "ok", &version).await;
    bench.check("merge configmaps default/a", json!({"data": {"k": "v"}}), "ok", &version).await;
    bench.check("update configmaps default/a dry-run", json!({"metadata": {"name": "a"}, "data": {"k": "w"}}), "ok", &version).await;
    let changed = bench.check("merge configmaps default/a", json!({"data": {"k": "w"}}), "ok", &[("/data/k", json!("w"))]).await;
    assert_ne!(changed["metadata"]["resourceVersion"], version[0].1);
}

#[tokio::test]
async fn updates_are_of_the_version_that_was_looked_at() {
    let bench = Bench::open().await;
    let made = bench.check("create configmaps default/", json!({"metadata": {"name": "a"}}), "ok", &[]).await;
    let version = made["metadata"]["resourceVersion"].clone();
    let stale = r#"409 Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#;
    bench
        .check("update configmaps default/a", json!({"metadata": {"name": "a", "resourceVersion": version}, "data": {"k": "v"}}), "ok", &[])
        .await;
    bench
        .check(
            "update configmaps default/a",
            json!({"metadata": {"name": "a", "resourceVersion": version}, "data": {"k": "w"}}),
            stale,
            &[],
        )
        .await;
    bench.check("merge configmaps default/a", json!({"metadata": {"resourceVersion": version}, "data": {"k": "w"}}), stale, &[]).await;
    bench.check("update configmaps default/a", json!({"metadata": {"name": "a"}, "data": {"k": "w"}}), "ok", &[]).await;
    bench.check("update configmaps default/none", json!({"metadata": {"name": "none"}}), r#"404 configmaps "none" not found"#, &[]).await;
    let bad = json!({"metadata": {"name": "a", "resourceVersion": "abc"}});
    bench.check("update configmaps default/a", bad, r#"500 strconv.ParseUint: parsing "abc": invalid syntax"#, &[]).await;
    let (said, _) =
        bench.ask("update configmaps default/a", &json!({"metadata": {"name": "a", "uid": "11111111-2222-3333-4444-555555555555"}})).await;
    assert!(
        said.contains("Precondition failed: UID in precondition: 11111111-2222-3333-4444-555555555555, UID in object meta: "),
        "{said}"
    );
    let (said, _) = bench.ask("merge configmaps default/a", &json!({"metadata": {"uid": "other"}})).await;
    assert!(said.starts_with("422 ConfigMap \"a\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable"), "{said}");
}

#[tokio::test]
async fn patches_that_race_all_count() {
    let bench = Arc::new(Bench::open().await);
    bench.check("create configmaps default/", json!({"metadata": {"name": "a"}, "data": {}}), "ok", &[]).await;
    let mut patches = tokio::task::JoinSet::new();
    for at in 0..16 {
        let bench = Arc::clone(&bench);
        patches.spawn(async move { bench.ask("merge configmaps default/a", &json!({"data": {format!("k{at}"): "v"}})).await.0 });
    }
    assert!(patches.join_all().await.iter().all(|said| said == "ok"));
    assert_eq!(bench.get("configmaps", "default/a").unwrap()["data"].as_object().unwrap().len(), 16);
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_the_spec_moves_the_generation() {
    let bench = Bench::open().await;
    let mut with_status = deployment(1);
    with_status["status"] = json!({"replicas": 9});
    let first = [("/metadata/generation", json!(1)), ("/status/replicas", Value::Null)];
    bench.check("create deployments.apps default/", with_status, "ok", &first).await;
    let status = json!({"spec": {"replicas": 5}, "status": {"replicas": 1, "observedGeneration": 1}});
    let kept = [("/metadata/generation", json!(1)), ("/spec/replicas", json!(1)), ("/status/replicas", json!(1))];
    bench.check("merge deployments.apps/status default/d", status, "ok", &kept).await;
    let spec = json!({"spec": {"replicas": 2}, "status": {"replicas": 7}});
    let moved = [("/metadata/generation", json!(2)), ("/spec/replicas", json!(2)), ("/status/replicas", json!(1))];
    bench.check("merge deployments.apps default/d", spec, "ok", &moved).await;
    bench
        .check("merge deployments.apps default/d", json!({"metadata": {"labels": {"l": "m"}}}), "ok", &[("/metadata/generation", json!(2))])
        .await;
}

#[tokio::test]
async fn scale_stands_for_the_replicas() {
    let bench = Bench::open().await;
    bench.check("create deployments.apps default/", deployment(1), "ok", &[]).await;
    let scaled = [("/kind", json!("Scale")), ("/spec/replicas", json!(3)), ("/status/selector", json!("a=b"))];
    bench.check("merge deployments.apps/scale default/d", json!({"spec": {"replicas": 3}}), "ok", &scaled).await;
    let whole = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2}});
    bench.check("update deployments.apps/scale default/d", whole, "ok", &[("/spec/replicas", json!(2))]).await;
    let refused = r#"422 Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#;
    bench.check("merge deployments.apps/scale default/d", json!({"spec": {"replicas": -1}}), refused, &[]).await;
    let old = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 5}});
    let (said, _) = bench.ask("merge deployments.apps/scale default/d", &old).await;
    assert!(said.starts_with("409 Operation cannot be fulfilled on deployments.apps"), "{said}");
    assert_eq!(bench.get("deployments.apps", "default/d").unwrap()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn pods_are_bound_once_and_go_when_their_node_says_so() {
    let bench = Bench::open().await;
    let filled = [("/spec/serviceAccountName", json!("default")), ("/status/phase", json!("Pending")), ("/metadata/generation", json!(1))];
    bench.check("create pods default/", pod("p"), "ok", &filled).await;
    let to = |node: &str| json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    bench.check("create pods/binding default/p", to("node-1"), "ok", &[("/status", json!("Success")), ("/code", json!(201))]).await;
    let bound = bench.get("pods", "default/p").unwrap();
    assert_eq!((&bound["spec"]["nodeName"], &bound["status"]["conditions"][0]["type"]), (&json!("node-1"), &json!("PodScheduled")));
    let taken = r#"409 Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "node-1""#;
    bench.check("create pods/binding default/p", to("node-2"), taken, &[("/details/kind", json!("pods/binding"))]).await;
    bench.check("create pods/binding default/none", to("node-1"), r#"404 pods "none" not found"#, &[]).await;
    let grace = |seconds: i64| [("/metadata/deletionGracePeriodSeconds", json!(seconds)), ("/metadata/generation", json!(2))];
    bench.check("delete pods default/p", Value::Null, "ok", &grace(30)).await;
    bench.check("delete pods default/p grace=60", Value::Null, "ok", &grace(30)).await;
    bench.check("delete pods default/p grace=5", Value::Null, "ok", &grace(5)).await;
    bench.check("merge pods default/p", json!({"metadata": {"labels": {"a": "b"}}}), "ok", &[("/metadata/labels/a", json!("b"))]).await;
    bench.check("delete pods default/p grace=0", Value::Null, "ok", &[("/kind", json!("Pod"))]).await;
    assert_eq!(bench.get("pods", "default/p"), None);
}

#[tokio::test]
async fn an_unscheduled_pod_goes_at_once() {
    let bench = Bench::open().await;
    bench.check("create pods default/", pod("p"), "ok", &[]).await;
    let gone = [("/kind", json!("Pod")), ("/metadata/deletionGracePeriodSeconds", json!(0)), ("/metadata/generation", json!(2))];
    bench.check("delete pods default/p", Value::Null, "ok", &gone).await;
    assert_eq!(bench.get("pods", "default/p"), None);
    bench.check("delete pods default/p", Value::Null, r#"404 pods "p" not found"#, &[]).await;
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let bench = Bench::open().await;
    bench.check("create configmaps default/", json!({"metadata": {"name": "a", "finalizers": ["example.com/f"]}}), "ok", &[]).await;
    let deleting =
        bench.check("delete configmaps default/a", Value::Null, "ok", &[("/metadata/deletionGracePeriodSeconds", json!(0))]).await;
    let unchanged = [("/metadata/resourceVersion", deleting["metadata"]["resourceVersion"].clone())];
    bench.check("delete configmaps default/a", Value::Null, "ok", &unchanged).await;
    let again = r#"409 object is being deleted: configmaps "a" already exists"#;
    bench.check("create configmaps default/", json!({"metadata": {"name": "a"}}), again, &[]).await;
    let (said, _) =
        bench.ask("merge configmaps default/a", &json!({"metadata": {"finalizers": ["example.com/f", "example.com/new"]}})).await;
    assert!(said.contains("no new finalizers can be added if the object is being deleted"), "{said}");
    bench.check("merge configmaps default/a", json!({"metadata": {"finalizers": []}}), "ok", &unchanged).await;
    assert_eq!(bench.get("configmaps", "default/a"), None);
}

#[tokio::test]
async fn deletes_answer_who_is_gone_and_keep_their_preconditions() {
    let bench = Bench::open().await;
    let made = bench.check("create configmaps default/", json!({"metadata": {"name": "a"}}), "ok", &[]).await;
    let (said, _) = bench.ask("delete configmaps default/a uid=other", &Value::Null).await;
    assert!(
        said.starts_with(r#"409 Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match"#),
        "{said}"
    );
    bench.check("delete configmaps default/a dry-run", Value::Null, "ok", &[("/status", json!("Success"))]).await;
    assert!(bench.get("configmaps", "default/a").is_some());
    let details = json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]});
    bench.check("delete configmaps default/a", Value::Null, "ok", &[("/status", json!("Success")), ("/details", details)]).await;
    bench.check("create configmaps default/", json!({"metadata": {"name": "b"}}), "ok", &[]).await;
    bench
        .check("delete configmaps default/b foreground", Value::Null, "ok", &[("/metadata/finalizers", json!(["foregroundDeletion"]))])
        .await;
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_finalized() {
    let bench = Bench::open().await;
    bench.check("create namespaces n", json!({"metadata": {"name": "n"}}), "ok", &[("/status/phase", json!("Active"))]).await;
    bench.check("merge namespaces n", json!({"spec": {"finalizers": []}}), "ok", &[("/spec/finalizers", json!(["kubernetes"]))]).await;
    let terminating = [("/status/phase", json!("Terminating")), ("/metadata/deletionGracePeriodSeconds", Value::Null)];
    bench.check("delete namespaces n", Value::Null, "ok", &terminating).await;
    let refused = r#"403 configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated"#;
    bench.check("create configmaps n/", json!({"metadata": {"name": "a"}}), refused, &[]).await;
    bench.check("update namespaces/finalize n", json!({"metadata": {"name": "n"}, "spec": {"finalizers": []}}), "ok", &[]).await;
    assert_eq!(bench.get("namespaces", "n"), None);
    bench
        .check("delete namespaces default", Value::Null, r#"403 namespaces "default" is forbidden: this namespace may not be deleted"#, &[])
        .await;
}

#[tokio::test]
async fn services_get_addresses_and_ports_and_give_them_back() {
    let bench = Bench::open().await;
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let made = bench.check("create services default/", service("a", json!({"type": "NodePort", "ports": [{"port": 80}]})), "ok", &[]).await;
    let (ip, port) = (made["spec"]["clusterIP"].clone(), made["spec"]["ports"][0]["nodePort"].clone());
    assert!(ip.as_str().unwrap().starts_with("10.96.") && (30000..=32767).contains(&port.as_i64().unwrap()), "{made}");
    let same = service("b", json!({"clusterIP": ip, "ports": [{"port": 80}]}));
    let (said, _) = bench.ask("create services default/", &same).await;
    assert!(said.ends_with(&format!("failed to allocate IP {}: provided IP is already allocated", ip.as_str().unwrap())), "{said}");
    let kept = [("/spec/clusterIP", ip.clone()), ("/spec/ports/0/port", json!(81)), ("/spec/ports/0/nodePort", Value::Null)];
    bench.check("update services default/a", service("a", json!({"ports": [{"port": 81}]})), "ok", &kept).await;
    let (said, again) = bench.ask("merge services default/a", &json!({"spec": {"type": "NodePort"}})).await;
    assert!(said == "ok" && again["spec"]["ports"][0]["nodePort"].is_number(), "{said} {again}");
    bench.check("delete services default/a", Value::Null, "ok", &[("/kind", json!("Service"))]).await;
    bench.check("create services default/", same, "ok", &[("/spec/clusterIP", ip)]).await;
    let dry = bench
        .check(
            "create services default/ dry-run",
            service("c", json!({"ports": [{"port": 1}]})),
            "ok",
            &[("/metadata/resourceVersion", Value::Null)],
        )
        .await;
    assert!(dry["spec"]["clusterIP"].is_string() && bench.get("services", "default/c").is_none());
}

#[tokio::test]
async fn services_made_together_never_share_an_address() {
    let bench = Arc::new(Bench::open().await);
    let mut writes = tokio::task::JoinSet::new();
    for at in 0..24 {
        let bench = Arc::clone(&bench);
        let body = json!({"metadata": {"name": format!("s{at}")}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        writes.spawn(async move { bench.ask("create services default/", &body).await.1 });
    }
    let made = writes.join_all().await;
    let distinct = |path: &str| made.iter().map(|s| s.pointer(path).unwrap().to_string()).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((distinct("/spec/clusterIP"), distinct("/spec/ports/0/nodePort")), (24, 24));
}

#[tokio::test]
async fn unknown_fields_are_warned_of_or_refused() {
    let bench = Bench::open().await;
    let odd = json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "nope": 1});
    let refused = r#"400 ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "nope""#;
    bench.check("create configmaps default/ strict", odd.clone(), refused, &[]).await;
    bench.check("create configmaps default/", odd, r#"ok warned: unknown field "nope""#, &[("/nope", Value::Null)]).await;
    bench
        .check(
            "create configmaps default/",
            json!({"kind": "Secret", "metadata": {"name": "b"}}),
            "400 Secret in version \"\" cannot be handled as a ConfigMap: no kind \"Secret\" is expected here",
            &[],
        )
        .await;
}

#[tokio::test]
async fn patches_of_every_kind_are_understood() {
    let bench = Bench::open().await;
    bench.check("create deployments.apps default/", deployment(1), "ok", &[]).await;
    let image = [("/spec/template/spec/containers/0/image", json!("j")), ("/spec/template/spec/containers/0/name", json!("c"))];
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}});
    bench.check("strategic deployments.apps default/d", patch, "ok", &image).await;
    bench
        .check(
            "json deployments.apps default/d",
            json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]),
            "ok",
            &[("/spec/replicas", json!(4))],
        )
        .await;
    let failed = "422 the server rejected our request due to an error in our request";
    bench.check("json deployments.apps default/d", json!([{"op": "test", "path": "/spec/replicas", "value": 9}]), failed, &[]).await;
    let renamed = "400 the name of the object (a based on URL) was undeterminable: name must be provided";
    bench.check("create configmaps default/", json!({"metadata": {"name": "a"}}), "ok", &[]).await;
    bench.check("merge configmaps default/a", json!({"metadata": null}), renamed, &[]).await;
}

#[tokio::test]
async fn put_makes_what_is_missing_where_the_kind_allows() {
    let bench = Bench::open().await;
    let lease = json!({"metadata": {"name": "new"}, "spec": {"holderIdentity": "h"}});
    bench.check("update leases.coordination.k8s.io default/new", lease, "ok", &[("/spec/holderIdentity", json!("h"))]).await;
    assert!(bench.get("leases.coordination.k8s.io", "default/new").is_some());
}

#[tokio::test]
async fn events_are_one_collection_under_two_groups() {
    let bench = Bench::open().await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "message": "m", "type": "Normal"});
    bench.check("create events default/", event, "ok", &[("/involvedObject/name", json!("p"))]).await;
    bench
        .check(
            "merge events.events.k8s.io default/e",
            json!({"note": "n"}),
            "ok",
            &[("/regarding/name", json!("p")), ("/note", json!("n"))],
        )
        .await;
    assert_eq!(bench.get("events", "default/e").unwrap()["message"], "n");
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let bench = Bench::open().await;
    bench.check("create configmaps default/", json!({"metadata": {"name": "a"}, "data": {"k": "v"}}), "ok", &[]).await;
    let bench = bench.reopened().await;
    assert_eq!(bench.get("configmaps", "default/a").unwrap()["data"]["k"], "v");
    bench.check("merge configmaps default/a", json!({"data": {"k": "w"}}), "ok", &[("/data/k", json!("w"))]).await;
}

#[tokio::test]
async fn somebody_may_ask_who_they_are_and_what_they_may() {
    let bench = Bench::open().await;
    let who = [("/status/userInfo/username", json!("admin")), ("/status/userInfo/groups", json!(["system:masters"]))];
    bench
        .check(
            "create selfsubjectreviews.authentication.k8s.io ",
            json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}),
            "ok",
            &who,
        )
        .await;
}

#[tokio::test]
async fn may_i_is_answered_by_the_same_rules() {
    let mut bench = Bench::open().await;
    bench.who = Identity { user: "jane".into(), groups: vec!["system:authenticated".into()], ..Identity::default() };
    let allowed = |is: bool| [("/status/allowed", json!(is))];
    let pods = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    bench.check("create selfsubjectaccessreviews.authorization.k8s.io ", pods, "ok", &allowed(false)).await;
    let version = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/version"}}});
    bench.check("create selfsubjectaccessreviews.authorization.k8s.io ", version, "ok", &allowed(true)).await;
}

#[tokio::test]
async fn who_may_not_is_told_before_anything_else() {
    let mut bench = Bench::open().await;
    bench.who = Identity { user: "jane".into(), groups: vec!["system:authenticated".into()], ..Identity::default() };
    let said = r#"403 pods is forbidden: User "jane" cannot create resource "pods" in API group "" in the namespace "default""#;
    bench.check("create pods default/", json!({"nonsense": 1}), said, &[]).await;
    let said = r#"403 pods "p" is forbidden: User "jane" cannot create resource "pods/binding" in API group "" in the namespace "default""#;
    bench.check("create pods/binding default/p", json!({}), said, &[]).await;
}
