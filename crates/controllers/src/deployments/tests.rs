//! Plays Deployments against ReplicaSets that do what they are told, pod by pod. The sequences are what a real v1.37 did (differential, deploy/*).
use super::*;
use serde_json::{Value, from_value, json};

/// A Deployment, its sets and their pods, in memory. A set's pods are `true` when ready.
struct Play {
    deployment: Value,
    sets: Vec<(Value, Vec<bool>)>,
    /// Leaving pods by the uid of their set.
    leaving: Vec<String>,
    events: Vec<String>,
    now: i64,
}

fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else { return *object = patch.clone() };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

impl Play {
    fn new(replicas: i32, spec: &Value) -> Self {
        let mut deployment = json!({"metadata": {"name": "d", "namespace": "one", "uid": "d-uid", "generation": 1}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}}}});
        merge(&mut deployment["spec"], spec);
        Self { deployment, sets: vec![], leaving: vec![], events: vec![], now: 1_000_000 }
    }

    /// A Deployment that is through with its first template.
    fn up(replicas: i32, spec: &Value) -> Self {
        let mut play = Self::new(replicas, spec);
        play.settle();
        for (_, pods) in &mut play.sets {
            pods.fill(true);
        }
        play.settle();
        play
    }

    fn rolling(replicas: i32, surge: Value, unavailable: Value) -> Self {
        Self::up(replicas, &json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}))
    }

    fn change(&mut self, spec: &Value) -> String {
        merge(&mut self.deployment["spec"], spec);
        let generation = self.deployment["metadata"]["generation"].as_i64().unwrap() + 1;
        self.deployment["metadata"]["generation"] = json!(generation);
        self.settle();
        self.view()
    }

    fn image(&mut self, image: &str) -> String {
        self.change(&json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}))
    }

    fn plan(&self) -> Plan {
        let view = |set: &(Value, Vec<bool>)| from_value(set.0.clone()).unwrap();
        let count = |uid: &str, live: usize| live + self.leaving.iter().filter(|leaving| *leaving == uid).count();
        let running = self.sets.iter().map(|(set, pods)| (set["metadata"]["uid"].as_str().unwrap(), pods.len()));
        let look = Look {
            deployment: from_value(self.deployment.clone()).unwrap(),
            sets: self.sets.iter().map(view).collect(),
            orphans: vec![],
            strays: vec![],
            running: running.map(|(uid, live)| (uid.into(), count(uid, live))).collect(),
        };
        Deployments.reconcile(&look, Timestamp::from_second(self.now).unwrap())
    }

    /// Lets everybody work until nothing moves.
    fn settle(&mut self) {
        for _ in 0..100 {
            let plan = self.plan();
            let is_quiet = plan.actions.is_empty();
            plan.actions.into_iter().for_each(|action| self.apply(action));
            if !self.obey() && is_quiet {
                return;
            }
        }
        panic!("it never comes to rest: {}", self.view());
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Create { mut object, .. } => {
                self.now += 1;
                let uid = object["metadata"]["name"].clone();
                merge(&mut object["metadata"], &json!({"uid": uid, "creationTimestamp": Timestamp::from_second(self.now).unwrap()}));
                self.sets.push((object, vec![]));
            }
            Action::Patch { of, patch, .. } | Action::Status { of, patch } => {
                match self.sets.iter_mut().find(|(set, _)| set["metadata"]["uid"] == *of.uid) {
                    Some((set, _)) => merge(set, &patch),
                    None => merge(&mut self.deployment, &patch),
                }
            }
            Action::Delete { of, .. } => self.sets.retain(|(set, _)| set["metadata"]["uid"] != *of.uid),
            Action::Event { reason, message, .. } => self.events.push(format!("{reason}: {message}")),
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// ReplicaSets make and delete pods, those that are not ready first, and count. Says whether anything changed.
    fn obey(&mut self) -> bool {
        let before = (self.sets.clone(), self.leaving.clone());
        for (set, pods) in &mut self.sets {
            let want = usize::try_from(set["spec"]["replicas"].as_i64().unwrap()).unwrap();
            pods.sort();
            while pods.len() > want {
                pods.remove(0);
            }
            pods.resize_with(want.max(pods.len()), || false);
            let ready = pods.iter().filter(|ready| **ready).count();
            set["status"] = json!({"replicas": pods.len(), "readyReplicas": ready, "availableReplicas": ready, "terminatingReplicas": 0});
        }
        before != (self.sets.clone(), self.leaving.clone())
    }

    fn by_revision(&self) -> Vec<&(Value, Vec<bool>)> {
        let mut sets: Vec<_> = self.sets.iter().collect();
        sets.sort_by_key(|(set, _)| {
            set["metadata"]["annotations"][history::REVISION].as_str().and_then(|revision| revision.parse::<i64>().ok())
        });
        sets
    }

    fn view(&self) -> String {
        let sizes: Vec<_> = self.by_revision().iter().map(|(set, _)| set["spec"]["replicas"].as_i64().unwrap()).collect();
        let ready: Vec<_> = self.by_revision().iter().map(|(_, pods)| pods.iter().filter(|ready| **ready).count()).collect();
        let count = |field: &str| self.deployment["status"][field].as_i64().unwrap_or(0);
        let status = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].map(|field| count(field).to_string()).join("/");
        format!("{sizes:?} ready {ready:?} status {status}")
    }

    /// Makes one pod after the other ready, those of the newest set first, and notes every standstill.
    fn rollout(&mut self) -> Vec<String> {
        let mut steps = vec![];
        loop {
            self.settle();
            steps.push(self.view());
            let newest = self.by_revision().last().unwrap().0["metadata"]["uid"].clone();
            self.sets.sort_by_key(|(set, _)| set["metadata"]["uid"] != newest);
            let Some(pod) = self.sets.iter_mut().flat_map(|(_, pods)| pods).find(|ready| !**ready) else { return steps };
            *pod = true;
            self.now += 1;
        }
    }

    fn condition(&self, kind: &str) -> String {
        let list = self.deployment["status"]["conditions"].as_array().unwrap();
        let hash = |message: &str| {
            let names = self.by_revision();
            names.iter().enumerate().fold(message.to_owned(), |text, (index, (set, _))| {
                text.replace(set["metadata"]["name"].as_str().unwrap(), &format!("d-H{}", index + 1))
            })
        };
        let text = |c: &Value, field: &str| c[field].as_str().unwrap().to_owned();
        list.iter()
            .find(|c| c["type"] == *kind)
            .map(|c| hash(&format!("{} {}: {}", text(c, "status"), text(c, "reason"), text(c, "message"))))
            .unwrap_or_default()
    }
}

#[test]
fn rolls_as_upstream_does() {
    let per_cent = |text: &str| json!(text);
    for (replicas, surge, unavailable, expected) in [
        (
            4,
            json!(0),
            json!(1),
            "[3, 1] ready [3, 0] status 4/1/3/3; [2, 2] ready [2, 1] status 4/2/3/3; [1, 3] ready [1, 2] status 4/3/3/3; [0, 4] ready [0, 3] status 4/4/3/3; [0, 4] ready [0, 4] status 4/4/4/4",
        ),
        (
            4,
            per_cent("25%"),
            per_cent("25%"),
            "[3, 2] ready [3, 0] status 5/2/3/3; [2, 3] ready [2, 1] status 5/3/3/3; [1, 4] ready [1, 2] status 5/4/3/3; [0, 4] ready [0, 3] status 4/4/3/3; [0, 4] ready [0, 4] status 4/4/4/4",
        ),
        (
            3,
            per_cent("100%"),
            json!(0),
            "[3, 3] ready [3, 0] status 6/3/3/3; [2, 3] ready [2, 1] status 5/3/3/3; [1, 3] ready [1, 2] status 4/3/3/3; [0, 3] ready [0, 3] status 3/3/3/3",
        ),
        (
            4,
            json!(2),
            json!(2),
            "[2, 4] ready [2, 0] status 6/4/2/2; [1, 4] ready [1, 1] status 5/4/2/2; [0, 4] ready [0, 2] status 4/4/2/2; [0, 4] ready [0, 3] status 4/4/3/3; [0, 4] ready [0, 4] status 4/4/4/4",
        ),
        (1, per_cent("25%"), per_cent("25%"), "[1, 1] ready [1, 0] status 2/1/1/1; [0, 1] ready [0, 1] status 1/1/1/1"),
        (
            3,
            per_cent("1%"),
            per_cent("1%"),
            "[3, 1] ready [3, 0] status 4/1/3/3; [2, 2] ready [2, 1] status 4/2/3/3; [1, 3] ready [1, 2] status 4/3/3/3; [0, 3] ready [0, 3] status 3/3/3/3",
        ),
        (
            4,
            json!(0),
            per_cent("100%"),
            "[0, 4] ready [0, 0] status 4/4/0/0; [0, 4] ready [0, 1] status 4/4/1/1; [0, 4] ready [0, 2] status 4/4/2/2; [0, 4] ready [0, 3] status 4/4/3/3; [0, 4] ready [0, 4] status 4/4/4/4",
        ),
    ] {
        let mut play = Play::rolling(replicas, surge, unavailable);
        play.image("app:2");
        assert_eq!(play.rollout().join("; "), expected);
        assert_eq!(play.condition("Progressing"), "True NewReplicaSetAvailable: ReplicaSet \"d-H2\" has successfully progressed.");
    }
}

#[test]
fn a_rollover_goes_past_the_middle_revision() {
    let mut play = Play::rolling(4, json!(1), json!(1));
    assert_eq!(play.image("app:2"), "[3, 2] ready [3, 0] status 5/2/3/3");
    play.image("app:3");
    let expected = "[3, 0, 2] ready [3, 0, 0] status 5/2/3/3; [2, 0, 3] ready [2, 0, 1] status 5/3/3/3; [1, 0, 4] ready [1, 0, 2] status 5/4/3/3; [0, 0, 4] ready [0, 0, 3] status 4/4/3/3; [0, 0, 4] ready [0, 0, 4] status 4/4/4/4";
    assert_eq!(play.rollout().join("; "), expected);
}

#[test]
fn scales_in_proportion_in_the_midst_of_a_rollout() {
    for (start, end, surge, unavailable, rolling, scaled) in [
        (10, 5, json!(3), json!(2), "[8, 5] ready [8, 0] status 13/5/8/8", "[3, 5] ready [3, 0] status 8/5/3/3"),
        (4, 6, json!(2), json!(1), "[3, 3] ready [3, 0] status 6/3/3/3", "[4, 4] ready [3, 0] status 8/4/3/3"),
        (8, 0, json!("25%"), json!("25%"), "[6, 4] ready [6, 0] status 10/4/6/6", "[0, 0] ready [0, 0] status 0/0/0/0"),
    ] {
        let mut play = Play::rolling(start, surge, unavailable);
        assert_eq!(play.image("app:2"), rolling);
        assert_eq!(play.change(&json!({"replicas": end})), scaled);
        for (set, _) in &play.sets {
            assert_eq!(set["metadata"]["annotations"][history::DESIRED], end.to_string());
        }
    }
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let mut play = Play::up(2, &json!({}));
    play.change(&json!({"paused": true}));
    assert_eq!(play.image("app:2"), "[2] ready [2] status 2/0/2/2");
    assert_eq!(play.condition("Progressing"), "Unknown DeploymentPaused: Deployment is paused");
    assert_eq!(play.change(&json!({"replicas": 4})), "[4] ready [2] status 4/0/2/2");
    play.sets[0].1.fill(true);
    assert_eq!(play.change(&json!({"paused": false})), "[3, 2] ready [3, 0] status 5/2/3/3");
    assert_eq!(play.condition("Progressing"), "True ReplicaSetUpdated: ReplicaSet \"d-H2\" is progressing.");
}

#[test]
fn paused_in_the_midst_it_scales_in_proportion() {
    let mut play = Play::rolling(4, json!(1), json!(1));
    play.image("app:2");
    play.change(&json!({"paused": true}));
    play.sets.iter_mut().for_each(|(_, pods)| pods.fill(true));
    play.settle();
    assert_eq!(play.change(&json!({"replicas": 8})), "[5, 4] ready [3, 2] status 9/4/5/5");
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut play = Play::up(2, &json!({"strategy": {"type": "Recreate", "rollingUpdate": null}}));
    play.leaving.push(play.sets[0].0["metadata"]["uid"].as_str().unwrap().to_owned());
    assert_eq!(play.image("app:2"), "[0] ready [0] status 0/0/0/0");
    play.leaving.clear();
    play.settle();
    assert_eq!(play.view(), "[0, 2] ready [0, 0] status 2/2/0/0");
}

#[test]
fn going_back_uses_the_old_set_under_a_new_revision() {
    let mut play = Play::up(1, &json!({}));
    let first = play.sets[0].0["metadata"]["name"].clone();
    for image in ["app:2", "app:3", "app:1"] {
        play.image(image);
        play.rollout();
    }
    let sets = play.by_revision();
    let annotations = &sets[2].0["metadata"]["annotations"];
    assert_eq!((&sets[2].0["metadata"]["name"], sets.len()), (&first, 3));
    assert_eq!(
        (annotations[history::REVISION].as_str(), annotations["deployment.kubernetes.io/revision-history"].as_str()),
        (Some("4"), Some("1"))
    );
    assert_eq!(play.deployment["metadata"]["annotations"][history::REVISION], "4");
}

#[test]
fn old_sets_beyond_the_limit_go() {
    let mut play = Play::up(1, &json!({"revisionHistoryLimit": 0}));
    for image in ["app:2", "app:3", "app:4"] {
        play.image(image);
        play.rollout();
    }
    let revisions: Vec<_> = play.by_revision().iter().map(|(set, _)| set["metadata"]["annotations"][history::REVISION].clone()).collect();
    assert_eq!(revisions, ["4"]);
}

#[test]
fn says_what_it_scales_and_what_a_new_set_is_like() {
    let mut play = Play::new(2, &json!({}));
    play.deployment["metadata"]["annotations"] = json!({"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    play.settle();
    let set = &play.sets[0].0;
    let name = set["metadata"]["name"].as_str().unwrap();
    let hash = set["metadata"]["labels"][sets::HASH_LABEL].as_str().unwrap();
    assert_eq!(play.events, [format!("ScalingReplicaSet: Scaled up replica set {name} from 0 to 2")]);
    assert_eq!(name, format!("d-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "a", "pod-template-hash": hash}));
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], json!({"app": "a", "pod-template-hash": hash}));
    assert_eq!(
        set["metadata"]["annotations"],
        json!({"note": "x", "deployment.kubernetes.io/desired-replicas": "2", "deployment.kubernetes.io/max-replicas": "3", "deployment.kubernetes.io/revision": "1"})
    );
    assert_eq!(play.condition("Available"), "False MinimumReplicasUnavailable: Deployment does not have minimum availability.");
    assert_eq!(play.condition("Progressing"), "True ReplicaSetUpdated: ReplicaSet \"d-H1\" is progressing.");
    let status = json!({"observedGeneration": 1, "replicas": 2, "terminatingReplicas": 0, "unavailableReplicas": 2, "updatedReplicas": 2});
    let mut got = play.deployment["status"].clone();
    got.as_object_mut().unwrap().remove("conditions");
    assert_eq!(got, status);
}

#[test]
fn an_annotation_reaches_the_newest_set() {
    let mut play = Play::up(1, &json!({}));
    play.deployment["metadata"]["annotations"]["team"] = json!("x");
    play.settle();
    assert_eq!(play.sets[0].0["metadata"]["annotations"]["team"], "x");
}

#[test]
fn a_rollout_that_stands_still_times_out() {
    let mut play = Play::rolling(2, json!(1), json!(0));
    assert_eq!(play.image("app:2"), "[2, 1] ready [2, 0] status 3/1/2/2");
    play.now += 599;
    let left = play.plan().again_in.expect("a deadline").as_secs();
    assert!((1..=2).contains(&left), "{left}");
    play.now += 2;
    play.settle();
    assert_eq!(play.condition("Progressing"), "False ProgressDeadlineExceeded: ReplicaSet \"d-H2\" has timed out progressing.");
    play.sets.iter_mut().for_each(|(_, pods)| pods.fill(true));
    play.rollout();
    assert_eq!(play.condition("Progressing"), "True NewReplicaSetAvailable: ReplicaSet \"d-H2\" has successfully progressed.");
}

#[test]
fn a_taken_name_is_told_apart_by_a_count() {
    let mut play = Play::new(1, &json!({}));
    let create = play.plan().actions.into_iter().next().unwrap();
    let Action::Create { object, .. } = &create else { panic!("no set is made") };
    let name = object["metadata"]["name"].clone();
    let status = knarr_machinery::Status::already_exists(&ReplicaSet::resource(), name.as_str().unwrap());
    let look =
        Look { deployment: from_value(play.deployment.clone()).unwrap(), sets: vec![], orphans: vec![], strays: vec![], running: vec![] };
    let note = Deployments.failed(&look, &[Failure { action: create, status }], Timestamp::UNIX_EPOCH);
    note.actions.into_iter().for_each(|action| play.apply(action));
    assert_eq!(play.deployment["status"]["collisionCount"], 1);
    play.settle();
    assert_ne!(play.sets[0].0["metadata"]["name"], name);
}
