//! What becomes of containers that end, and of those that probes give up.
use crate::given;
use knarr_testkit::{Answer, Cluster, Script};
use serde_json::json;
use std::time::Duration;

const RESTARTS: &str = "/status/containerStatuses/0/restartCount";

/// Crashes the pod `web` as it runs, for the `nth` time. Seconds until it runs again.
async fn crash(cluster: &Cluster, nth: u32) -> i64 {
    let before = cluster.now();
    cluster.crash("web", 134).await;
    cluster.until_is("pods/web", RESTARTS, nth).await;
    cluster.until("it runs", |cluster| !cluster.at("pods/web", "/status/containerStatuses/0/state/running").is_null()).await;
    cluster.seconds_since(before)
}

#[tokio::test(start_paused = true)]
async fn crashes_wait_longer_and_longer_and_are_forgotten_after_ten_minutes() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    let mut waits = vec![];
    for nth in 1..=8 {
        waits.push(crash(&cluster, nth).await);
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300], "{}", cluster.show());
    assert_eq!(cluster.at("pods/web", "/status/containerStatuses/0/lastState/terminated/exitCode"), 134);
    cluster.advance(Duration::from_secs(601)).await;
    assert_eq!([crash(&cluster, 9).await, crash(&cluster, 10).await], [0, 10], "after ten minutes it begins anew");
    cluster.until_told(&["Pod/web Warning BackOff x", "Back-off restarting failed container web in pod web_default("]).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_after_a_crash_says_so() {
    let cluster = Cluster::start().await;
    cluster.apply(&given::pod("web", "web:1", "")).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    crash(&cluster, 1).await;
    cluster.crash("web", 1).await;
    cluster.until_is("pods/web", "/status/containerStatuses/0/state/waiting/reason", "CrashLoopBackOff").await;
    let message = cluster.at("pods/web", "/status/containerStatuses/0/state/waiting/message");
    assert!(message.as_str().unwrap().starts_with("back-off 10s restarting failed container=web pod=web_default("), "{message}");
    assert_eq!((cluster.condition("pods/web", "Ready").as_str(), cluster.at("pods/web", "/status/phase")), ("False", json!("Running")));
}

#[tokio::test(start_paused = true)]
async fn the_restart_policy_says_who_comes_back() {
    for (policy, code, expected) in [
        ("Never", 0, "Succeeded"),
        ("Never", 3, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 3, "restarted"),
        ("Always", 0, "restarted"),
        ("Always", 3, "restarted"),
    ] {
        let cluster = Cluster::start().await;
        cluster.guest("job:1", Script::Exits { code });
        cluster.apply(&given::pod("job", "job:1", &format!("restartPolicy: {policy}"))).await;
        if expected == "restarted" {
            cluster.until_is("pods/job", RESTARTS, 2).await;
            assert_eq!(cluster.at("pods/job", "/status/phase"), "Running", "{policy} {code}");
        } else {
            cluster.until_is("pods/job", "/status/phase", expected).await;
            assert_eq!(
                (cluster.at("pods/job", RESTARTS), cluster.at("pods/job", "/status/containerStatuses/0/state/terminated/exitCode")),
                (json!(0), json!(code))
            );
            cluster.advance(Duration::from_secs(700)).await;
            assert_eq!(cluster.at("pods/job", "/status/phase"), expected, "{policy} {code}: that is for good");
        }
    }
}

const PROBE: &str = "{httpGet: {path: /healthy, port: 8080}, periodSeconds: 2, failureThreshold: 3}";

#[tokio::test(start_paused = true)]
async fn a_guest_that_fails_its_liveness_probe_is_restarted() {
    for (answer, why) in [
        (Answer::Status(500), "Liveness probe failed: HTTP probe failed with statuscode: 500"),
        (Answer::Refuses, "connect: connection refused"),
        (Answer::Hangs, "Liveness probe failed: Get"),
    ] {
        let cluster = Cluster::start().await;
        cluster.apply(&given::pod_with("web", &format!("name: web, image: 'web:1', livenessProbe: {PROBE}"), "")).await;
        cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
        cluster.advance(Duration::from_secs(60)).await;
        assert_eq!(cluster.at("pods/web", RESTARTS), 0, "it is well\n{}", cluster.show());
        let before = cluster.now();
        cluster.answer("web:1", answer);
        cluster.until_told(&["Pod/web Normal Killing", "Container web failed liveness probe, will be restarted"]).await;
        cluster.answer("web:1", Answer::Status(200));
        cluster.until_is("pods/web", RESTARTS, 1).await;
        assert!((4..=8).contains(&cluster.seconds_since(before)), "three failures, two seconds apart: {}", cluster.seconds_since(before));
        // The next container may have been asked once before it was well.
        let told = cluster.events().into_iter().find(|line| line.contains(why)).unwrap_or_default();
        assert!(["x3:", "x4:"].iter().any(|count| told.contains(count)), "{told}");
        cluster.until("it is ready again", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_is_left_alone_until_its_startup_probe_gives_up() {
    let cluster = Cluster::start().await;
    cluster.answer("web:1", Answer::Status(503));
    let startup = "startupProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 5, failureThreshold: 6}";
    cluster.apply(&given::pod_with("web", &format!("name: web, image: 'web:1', livenessProbe: {PROBE}, {startup}"), "")).await;
    cluster.until_is("pods/web", "/status/phase", "Running").await;
    cluster.advance(Duration::from_secs(20)).await;
    assert_eq!((cluster.at("pods/web", RESTARTS), cluster.at("pods/web", "/status/containerStatuses/0/started")), (json!(0), json!(false)));
    cluster.answer("web:1", Answer::Status(200));
    cluster.until_is("pods/web", "/status/containerStatuses/0/started", true).await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    assert_eq!(cluster.at("pods/web", RESTARTS), 0);
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_comes_later_is_waited_for() {
    let cluster = Cluster::start().await;
    let from = "env: [{name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}]";
    cluster.apply(&given::pod_with("web", &format!("name: web, image: 'web:1', {from}"), "")).await;
    cluster.until_is("pods/web", "/status/containerStatuses/0/state/waiting/reason", "CreateContainerConfigError").await;
    assert_eq!(cluster.at("pods/web", "/status/containerStatuses/0/state/waiting/message"), "configmap \"settings\" not found");
    cluster.advance(Duration::from_secs(120)).await;
    let before = cluster.now();
    cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {color: blue}}").await;
    cluster.until("it is ready", |cluster| cluster.condition("pods/web", "Ready") == "True").await;
    assert!(cluster.seconds_since(before) < 5, "it does not wait for its back-off to pass");
    assert_eq!(cluster.node("n1").containers()[0].env["COLOR"], "blue");
}
