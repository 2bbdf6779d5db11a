//! Plays a pod's life: `sync` decides, and this world does what it says, as the worker would.
use super::*;
use crate::{
    memory::Here,
    probe::{Kind, Verdict},
};
use knarr_image::World as Wasm;
use knarr_runtime::{Image, Observed, State as Seen};
use serde_json::{Value, from_value, json};
use std::{collections::BTreeMap, sync::Arc};

struct World {
    pod: Pod,
    memory: Memory,
    now: Timestamp,
    presence: Presence,
    routing: Routing,
    /// Steps that fail, and why.
    broken: BTreeMap<&'static str, &'static str>,
    looks: u64,
}

fn world(spec: Value) -> World {
    let meta = json!({"name": "web", "namespace": "shop", "uid": "u"});
    let pod: Pod = from_value(json!({"metadata": meta, "spec": spec})).unwrap();
    let mut memory = Memory::recall(&pod, &[], 0);
    memory.started_at = Some(Timestamp::UNIX_EPOCH);
    let (presence, routing) = (Presence::There, Routing::Unrouted);
    World { pod, memory, now: Timestamp::UNIX_EPOCH, presence, routing, broken: BTreeMap::new(), looks: 0 }
}

fn one(policy: &str) -> World {
    world(json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]}))
}

impl World {
    /// Does everything that is to be done now. Says what, and in how many milliseconds to look again.
    fn run(&mut self) -> String {
        let mut said = Vec::new();
        for _ in 0..30 {
            let look = Look { pod: &self.pod, memory: &self.memory, presence: self.presence, routing: self.routing, now: self.now };
            let plan = sync(look);
            if plan.steps.is_empty() {
                let wait = plan.again_at.map(|at| format!("again in {}", at.duration_since(self.now).as_millis()));
                said.extend(wait);
                return said.join(", ");
            }
            for step in plan.steps {
                said.push(self.perform(step));
                if step == Step::Forget {
                    return said.join(", ");
                }
            }
        }
        panic!("never comes to rest: {said:?}");
    }

    fn perform(&mut self, step: Step) -> String {
        let name = |index: usize| self.pod.container(index).unwrap().name.to_string();
        let (now, looks) = (self.now, self.looks);
        match step {
            Step::ClaimAddress => {
                self.memory.address = Some([10, 0, 0, 1].into());
                "claim".into()
            }
            Step::MakeVolumes => {
                self.memory.has_volumes = true;
                "volumes".into()
            }
            Step::Pull { container } => {
                let spec = self.pod.container(container).unwrap().clone();
                let known = &mut self.memory.containers[container];
                match self.broken.get("pull") {
                    Some(reason) => known.failed(&spec, reason, "why".into(), now),
                    None => known.pulled(here(&spec.image)),
                }
                format!("pull {}", spec.name)
            }
            Step::Start { container } => {
                let spec = self.pod.container(container).unwrap().clone();
                let known = &mut self.memory.containers[container];
                match self.broken.get("start") {
                    Some(reason) => known.failed(&spec, reason, "why".into(), now),
                    None => known.started(&spec, now, looks),
                }
                format!("start {} {}", spec.name, known.attempt)
            }
            Step::TellBackOff { container } => {
                let known = &mut self.memory.containers[container];
                match &mut known.trouble {
                    Some(trouble) => trouble.told = true,
                    None => known.told_back_off = true,
                }
                format!("tell {}", name(container))
            }
            Step::Stop(Stop { container, grace_ms, because }) => {
                let said = format!("stop {} {grace_ms} {because:?}", name(container));
                if self.broken.contains_key("stop") {
                    self.memory.containers[container].stopping(true);
                } else {
                    self.exit(container, 0);
                }
                said
            }
            Step::BeginEnd(why) => {
                self.memory.begin_end(why, now);
                format!("end {why:?}")
            }
            Step::Unrouted => {
                self.memory.unrouted(now);
                "unrouted".into()
            }
            Step::Clean => {
                self.memory.cleaned();
                "clean".into()
            }
            Step::Finish => {
                self.memory.is_finished = true;
                "finish".into()
            }
            Step::Forget => "forget".into(),
        }
    }

    /// The runtime shows that a container has ended.
    fn exit(&mut self, index: usize, code: i32) {
        let known = &self.memory.containers[index];
        let at = u64::try_from(self.now.as_millisecond()).unwrap();
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        let state = Seen::Exited { code, reason, message: String::new(), started_at_ms: at, finished_at_ms: at };
        let id = knarr_runtime::ContainerId::new("u", &known.name, known.attempt);
        let seen = Observed { id, pod_uid: "u".into(), name: known.name.to_string(), attempt: known.attempt, state };
        self.looks += 1;
        // The others of the pod go on running.
        let others = self.memory.containers.iter().filter(|other| other.is_running() && other.name != self.memory.containers[index].name);
        let running = |other: &Known| Observed {
            id: knarr_runtime::ContainerId::new("u", &other.name, other.attempt),
            pod_uid: "u".into(),
            name: other.name.to_string(),
            attempt: other.attempt,
            state: Seen::Running { started_at_ms: at },
        };
        let all: Vec<_> = others.map(running).chain([seen]).collect();
        self.memory.see("u", &all, self.looks, self.now);
    }

    fn after(&mut self, ms: i64) -> &mut Self {
        self.now += SignedDuration::from_millis(ms);
        self
    }

    fn delete(&mut self, grace_s: i64) {
        self.pod.metadata.deletion_timestamp = Some(self.now);
        self.pod.metadata.deletion_grace_period_seconds = Some(grace_s);
    }
}

fn here(image: &str) -> Arc<Here> {
    let image_id = format!("{image}@sha256:1").into();
    let file = Image { digest: "sha256:2".into(), path: "/nowhere".into() };
    Arc::new(Here { image_id, name: image.into(), image: file, world: Wasm::Http })
}

#[test]
fn brings_a_new_pod_up_in_one_go() {
    let mut world = one("Always");
    assert_eq!(world.run(), "claim, volumes, pull a, start a 0");
    assert_eq!(world.after(60_000).run(), "");
}

#[test]
fn starts_all_containers_of_a_pod_at_once() {
    let mut world = world(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}));
    assert_eq!(world.run(), "claim, volumes, pull a, pull b, start a 0, start b 0");
}

#[test]
fn one_container_that_cannot_start_does_not_hold_up_the_other() {
    let mut world = world(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}));
    world.memory.containers[0].failed(&world.pod.container(0).unwrap().clone(), "ErrImageNeverPull", "why".into(), world.now);
    assert_eq!(world.run(), "claim, volumes, pull b, start b 0, again in 10000");
}

#[test]
fn init_containers_run_one_after_the_other_and_before_the_others() {
    let init = json!([{"name": "i1", "image": "i"}, {"name": "i2", "image": "i"}]);
    let mut world = world(json!({"initContainers": init, "containers": [{"name": "a", "image": "i"}]}));
    assert_eq!(world.run(), "claim, volumes, pull i1, start i1 0");
    world.exit(0, 0);
    assert_eq!(world.run(), "pull i2, start i2 0");
    world.exit(1, 3);
    assert_eq!(world.run(), "pull i2, start i2 1", "it is tried again");
    world.exit(1, 0);
    assert_eq!(world.run(), "pull a, start a 0");
}

#[test]
fn a_sidecar_starts_before_the_containers_and_stops_after_them() {
    let init = json!([{"name": "s", "image": "i", "restartPolicy": "Always"}]);
    let mut world = world(json!({"restartPolicy": "Never", "initContainers": init, "containers": [{"name": "a", "image": "i"}]}));
    assert_eq!(world.run(), "claim, volumes, pull s, start s 0, pull a, start a 0");
    world.exit(0, 1);
    assert_eq!(world.run(), "pull s, start s 1", "it comes back whatever the pod's policy");
    world.exit(1, 0);
    assert_eq!(world.run(), "end Finished, stop s 30000 PodEnds, clean");
}

#[test]
fn an_init_container_that_fails_ends_a_pod_that_never_restarts() {
    let init = json!([{"name": "i", "image": "i"}]);
    let mut world = world(json!({"restartPolicy": "Never", "initContainers": init, "containers": [{"name": "a", "image": "i"}]}));
    world.run();
    world.exit(0, 1);
    assert_eq!(world.run(), "end Finished, clean");
}

#[test]
fn a_crash_restarts_at_once_and_then_later_and_later() {
    let mut world = one("Always");
    world.run();
    world.after(1000).exit(0, 1);
    assert_eq!(world.run(), "pull a, start a 1");
    world.after(1000).exit(0, 1);
    assert_eq!(world.run(), "tell a, again in 10000");
    assert_eq!(world.after(9999).run(), "again in 1");
    assert_eq!(world.after(1).run(), "pull a, start a 2");
    world.after(1000).exit(0, 1);
    assert_eq!(world.run(), "tell a, again in 20000");
}

#[test]
fn restarts_as_its_policy_says() {
    for (policy, code, said) in [
        ("Always", 0, "pull a, start a 1"),
        ("Always", 1, "pull a, start a 1"),
        ("OnFailure", 0, "end Finished, clean"),
        ("OnFailure", 1, "pull a, start a 1"),
        ("Never", 0, "end Finished, clean"),
        ("Never", 1, "end Finished, clean"),
    ] {
        let mut world = one(policy);
        world.run();
        world.exit(0, code);
        assert_eq!(world.run(), said, "{policy} {code}");
        if said.ends_with("clean") {
            assert_eq!(world.after(60_000).run(), "", "{policy} {code}: nothing more ever happens");
        }
    }
}

#[test]
fn a_pull_that_fails_is_tried_again_later_and_later() {
    let mut world = one("Always");
    world.broken.insert("pull", "ErrImagePull");
    assert_eq!(world.run(), "claim, volumes, pull a, again in 1000", "the first name of the failure is shown for a second");
    assert_eq!(world.after(1000).run(), "tell a, again in 9000");
    assert_eq!(world.after(9000).run(), "pull a, again in 1000");
    assert_eq!(world.after(1000).run(), "tell a, again in 19000");
    world.broken.clear();
    assert_eq!(world.after(19_000).run(), "pull a, start a 0");
}

#[test]
fn an_image_that_was_corrected_is_tried_at_once() {
    let mut world = one("Always");
    world.broken.insert("pull", "InvalidImageName");
    assert_eq!(world.run(), "claim, volumes, pull a, again in 10000");
    world.broken.clear();
    assert_eq!(world.run(), "again in 10000");
    world.pod.spec.containers[0].image = "better".into();
    assert_eq!(world.run(), "pull a, start a 0");
}

#[test]
fn another_image_restarts_a_container_that_runs() {
    let mut world = one("Always");
    world.run();
    world.pod.spec.containers[0].image = "newer".into();
    assert_eq!(world.run(), "stop a 30000 Changed, pull a, start a 1");
}

#[test]
fn what_is_missing_is_looked_for_again_when_it_comes_or_when_time_has_passed() {
    let mut world = one("Always");
    world.broken.insert("start", "CreateContainerConfigError");
    assert_eq!(world.run(), "claim, volumes, pull a, start a 0, again in 10000");
    assert_eq!(world.after(10_000).run(), "pull a, start a 0, again in 20000");
    world.memory.retry(world.now);
    world.broken.clear();
    assert_eq!(world.run(), "pull a, start a 0");
}

#[test]
fn a_compile_error_is_not_helped_by_a_new_config() {
    let mut world = one("Always");
    world.broken.insert("start", "CompileError");
    world.run();
    world.memory.retry(world.now);
    assert_eq!(world.run(), "again in 10000");
}

#[test]
fn probes_that_give_up_a_container_restart_it() {
    let probe = json!({"httpGet": {"port": 80}, "terminationGracePeriodSeconds": 3});
    for (kind, field, said) in [
        (Kind::Liveness, "livenessProbe", "stop a 3000 Liveness, pull a, start a 1"),
        (Kind::Startup, "startupProbe", "stop a 3000 Startup, pull a, start a 1"),
    ] {
        let mut world = world(json!({"containers": [{"name": "a", "image": "i", field: probe}]}));
        world.run();
        world.memory.probed(&world.pod, 0, 7, kind, Verdict::Failed);
        assert_eq!(world.run(), "", "late news of another attempt says nothing");
        world.memory.probed(&world.pod, 0, 0, kind, Verdict::Failed);
        assert_eq!(world.run(), said);
    }
}

#[test]
fn a_started_container_is_ready_unless_somebody_is_to_ask_it() {
    let probe = json!({"httpGet": {"port": 80}});
    for (readiness, is_ready) in [(json!(null), true), (probe.clone(), false)] {
        let container = json!({"name": "a", "image": "i", "startupProbe": probe, "readinessProbe": readiness});
        let mut world = world(json!({"containers": [container]}));
        world.run();
        assert!(!world.memory.containers[0].is_ready, "it has not started");
        world.memory.probed(&world.pod, 0, 0, Kind::Startup, Verdict::Passed);
        assert_eq!(world.memory.containers[0].is_ready, is_ready);
    }
}

#[test]
fn an_unready_container_runs_on() {
    let mut world = world(json!({"containers": [{"name": "a", "image": "i", "readinessProbe": {"httpGet": {"port": 80}}}]}));
    world.run();
    assert!(!world.memory.containers[0].is_ready);
    world.memory.probed(&world.pod, 0, 0, Kind::Readiness, Verdict::Passed);
    assert!(world.memory.containers[0].is_ready);
    world.memory.probed(&world.pod, 0, 0, Kind::Readiness, Verdict::Failed);
    assert_eq!((world.run(), world.memory.containers[0].is_ready), (String::new(), false));
}

#[test]
fn deletion_waits_until_nobody_sends_requests_then_drains_then_cleans_up() {
    let mut world = one("Always");
    world.run();
    world.routing = Routing::Routed;
    world.delete(30);
    assert_eq!(world.run(), "end Deleted, again in 20");
    assert_eq!(world.after(20).run(), "again in 20");
    world.routing = Routing::Unrouted;
    assert_eq!(world.after(20).run(), "unrouted, again in 50");
    assert_eq!(world.after(50).run(), "stop a 30000 PodEnds, clean, finish");
    assert_eq!(world.run(), "", "finalizers may hold the object");
    world.presence = Presence::Gone;
    assert_eq!(world.run(), "forget");
}

#[test]
fn deletion_does_not_wait_for_ever_for_a_control_plane_that_is_away() {
    let mut world = one("Always");
    world.run();
    world.routing = Routing::Routed;
    world.delete(30);
    world.run();
    assert_eq!(world.after(3000).run(), "unrouted, again in 50");
    assert_eq!(world.after(50).run(), "stop a 30000 PodEnds, clean, finish");
}

#[test]
fn deletion_without_grace_stops_at_once() {
    let mut world = one("Always");
    world.run();
    world.routing = Routing::Routed;
    world.delete(0);
    assert_eq!(world.run(), "end Deleted, stop a 0 PodEnds, clean, finish");
}

#[test]
fn a_pod_that_is_gone_is_stopped_quickly_and_forgotten() {
    let mut world = one("Always");
    world.run();
    world.presence = Presence::Gone;
    assert_eq!(world.run(), "end Deleted, stop a 1000 PodEnds, clean, forget");
}

#[test]
fn a_pod_that_is_deleted_before_it_ran_goes_at_once() {
    let mut world = one("Always");
    world.delete(30);
    assert_eq!(world.run(), "end Deleted, clean, finish");
}

#[test]
fn a_finished_pod_goes_when_it_is_deleted() {
    let mut world = one("Never");
    world.run();
    world.exit(0, 0);
    assert_eq!(world.run(), "end Finished, clean");
    world.delete(30);
    assert_eq!(world.run(), "end Deleted, finish");
}

#[test]
fn a_pod_in_back_off_goes_without_waiting_for_it() {
    let mut world = one("Always");
    world.broken.insert("pull", "ErrImagePull");
    world.run();
    world.delete(30);
    assert_eq!(world.run(), "end Deleted, clean, finish");
}

#[test]
fn a_container_that_is_being_stopped_is_not_stopped_again() {
    let mut world = one("Always");
    world.run();
    world.broken.insert("stop", "");
    world.delete(0);
    assert_eq!(world.run(), "end Deleted, stop a 0 PodEnds");
    assert_eq!(world.run(), "");
}

#[test]
fn a_deadline_ends_the_pod_with_all_its_containers() {
    let mut world =
        world(json!({"activeDeadlineSeconds": 5, "terminationGracePeriodSeconds": 2, "containers": [{"name": "a", "image": "i"}]}));
    assert_eq!(world.run(), "claim, volumes, pull a, start a 0, again in 5000");
    assert_eq!(world.after(5000).run(), "end DeadlineExceeded, stop a 2000 PodEnds, clean");
    assert_eq!(world.after(5000).run(), "");
}

#[test]
fn a_phase_that_somebody_made_final_ends_the_pod() {
    let mut world = one("Always");
    world.run();
    world.pod.status = json!({"phase": "Failed", "reason": "Evicted"});
    assert_eq!(world.run(), "end Finished, stop a 30000 PodEnds, clean");
}

/// What a new agent does with a pod of this status, of which the runtime has that.
fn adopted(status: Value, seen: &[(u32, Seen)]) -> World {
    let mut world = one("Always");
    world.pod.status = status;
    let observed = |(attempt, state): &(u32, Seen)| Observed {
        id: knarr_runtime::ContainerId::new("u", "a", *attempt),
        pod_uid: "u".into(),
        name: "a".into(),
        attempt: *attempt,
        state: state.clone(),
    };
    world.memory = Memory::recall(&world.pod, &seen.iter().map(observed).collect::<Vec<_>>(), 1);
    world
}

fn running_status() -> Value {
    let one = json!({"name": "a", "image": "i", "imageID": "i@sha256:1", "ready": true, "started": true, "restartCount": 2, "state": {"running": {}}});
    json!({"phase": "Running", "podIP": "10.0.0.9", "startTime": "1970-01-01T00:00:00Z", "containerStatuses": [one]})
}

#[test]
fn a_new_agent_adopts_what_runs() {
    let mut world = adopted(running_status(), &[(1, exited(1)), (2, Seen::Running { started_at_ms: 7 })]);
    assert_eq!((world.memory.had_address, world.memory.containers[0].is_ready), (Some([10, 0, 0, 9].into()), true));
    assert_eq!(world.run(), "claim", "and touches nothing");
}

fn exited(code: i32) -> Seen {
    Seen::Exited { code, reason: "Error".into(), message: String::new(), started_at_ms: 0, finished_at_ms: 0 }
}

#[test]
fn a_new_agent_restarts_what_ended_while_nobody_looked() {
    assert_eq!(adopted(running_status(), &[(2, exited(1))]).run(), "claim, volumes, pull a, start a 3");
    let mut lost = adopted(running_status(), &[]);
    assert_eq!(lost.memory.containers[0].ended().unwrap().exit_code, 137);
    assert_eq!(lost.run(), "claim, volumes, pull a, start a 3");
}

#[test]
fn a_new_agent_leaves_finished_pods_alone() {
    let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let mut world = adopted(json!({"phase": "Succeeded", "containerStatuses": [done]}), &[]);
    assert_eq!(world.run(), "end Finished, clean");
}
