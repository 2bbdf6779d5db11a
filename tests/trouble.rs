//! What a user is told when something is wrong.
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use knarr_tests::{Guest, Started, ended, eventually, holds, once, text, waiting};
use kube::api::ListParams;
use serde_json::json;

async fn events_of(up: &Started, pod: &str) -> anyhow::Result<Vec<String>> {
    let list = up.namespaced::<Event>("default").await?.list(&ListParams::default().fields(&format!("involvedObject.name={pod}"))).await?;
    Ok(list.items.into_iter().map(|e| format!("{} {}", e.reason.unwrap_or_default(), e.message.unwrap_or_default())).collect())
}

#[tokio::test]
async fn says_precisely_why_a_pod_waits() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let needy = up.import("needy", &text(r#"(component (import "acme:database/sql@1.0.0" (instance (export "query" (func))))
        (core module $m (func (export "run") (result i32) i32.const 0)) (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run"))) (instance $r (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $r)))"#)).await?;
    for (name, image, reasons, words) in [
        ("nowhere", format!("localhost:{}/none:v1", up.node.registry), &["ErrImagePull", "ImagePullBackOff"][..], "not found"),
        ("badly-named", "UPPER/case:v1".to_owned(), &["InvalidImageName"], "must be lowercase"),
        ("needy", needy, &["ImportUnsatisfied"], "acme:database/sql@1.0.0"),
    ] {
        let _: Pod = up.create("default", once(name, &image)).await?;
        let pod = up.pod_when("default", name, reasons[0], |pod| reasons.contains(&waiting(pod).as_str())).await?;
        let said = pod.status.and_then(|s| s.container_statuses?.pop()?.state?.waiting?.message).unwrap_or_default();
        eventually("the event", async || {
            let events = events_of(&up, name).await?;
            ensure!(said.contains(words) || events.iter().any(|e| e.contains(words)), "{name}: {said} {events:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_wasm_is_said_to_be_so() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let file = up.node.data.join("program");
    std::fs::write(&file, b"\x7fELF\x02\x01\x01")?;
    let (code, _, said) = up.knarr(&["image", "import", &file.to_string_lossy(), "--name", "localhost/elf:v1"]).await?;
    ensure!(code != 0 && said.contains("not a WebAssembly file") && said.contains("ELF"), "{said}");
    Ok(())
}

#[tokio::test]
async fn tells_how_a_command_ended() -> anyhow::Result<()> {
    let up = Started::up().await?;
    for (name, guest, phase, code, reason, words) in [
        ("greets", Guest::Greets, "Succeeded", 0, "Completed", ""),
        ("exits", Guest::Exits(42), "Failed", 42, "Error", ""),
        ("traps", Guest::Traps, "Failed", 134, "Error", "unreachable"),
    ] {
        let image = up.import(name, &guest.wasm()).await?;
        let _: Pod = up.create("default", once(name, &image)).await?;
        let pod = up.pod_when("default", name, phase, |pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some(phase))).await?;
        let (its_code, its_reason, message) = ended(&pod).context("terminated")?;
        ensure!((its_code, its_reason.as_str()) == (code, reason) && message.contains(words), "{name}: {its_code} {its_reason} {message}");
    }
    let log = up.namespaced::<Pod>("default").await?.logs("greets", &kube::api::LogParams::default()).await?;
    ensure!(log == "hello\n", "{log:?}");
    Ok(())
}

#[tokio::test]
async fn a_memory_hog_is_killed_and_its_neighbour_is_not() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let (hog, sleeper) = (up.import("hog", &Guest::Hogs.wasm()).await?, up.import("sleeper", &Guest::Sleeps.wasm()).await?);
    let _: Pod = up.create("default", once("sleeper", &sleeper)).await?;
    up.pod_when("default", "sleeper", "Running", |pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))).await?;
    let mut pod = once("hog", &hog);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "16Mi"}});
    let _: Pod = up.create("default", pod).await?;
    let pod = up.pod_when("default", "hog", "OOMKilled", |pod| ended(pod).is_some()).await?;
    let (code, reason, _) = ended(&pod).context("terminated")?;
    ensure!((code, reason.as_str()) == (137, "OOMKilled"), "{code} {reason}");
    let neighbour = up.namespaced::<Pod>("default").await?.get("sleeper").await?;
    ensure!(ended(&neighbour).is_none(), "the neighbour felt it");
    Ok(())
}

#[tokio::test]
async fn a_crash_backs_off_and_a_finished_command_is_not_restarted() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("traps", &Guest::Traps.wasm()).await?;
    let mut pod = once("traps", &image);
    pod["spec"]["restartPolicy"] = json!("Always");
    let _: Pod = up.create("default", pod).await?;
    let pod = up.pod_when("default", "traps", "CrashLoopBackOff", |pod| waiting(pod) == "CrashLoopBackOff").await?;
    let (code, _, message) = ended(&pod).context("lastState")?;
    ensure!(code == 134 && message.contains("unreachable"), "{code} {message}");
    eventually("a BackOff event", async || holds(events_of(&up, "traps").await?.iter().any(|e| e.starts_with("BackOff")))).await
}

#[tokio::test]
async fn waits_for_a_config_map_and_goes_on_when_it_comes() -> anyhow::Result<()> {
    let up = Started::up().await?;
    let image = up.import("greets", &Guest::Greets.wasm()).await?;
    let mut pod = once("configured", &image);
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    let _: Pod = up.create("default", pod).await?;
    up.pod_when("default", "configured", "CreateContainerConfigError", |pod| waiting(pod) == "CreateContainerConfigError").await?;
    up.config_map("settings", "there").await?;
    up.pod_when("default", "configured", "Succeeded", |pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Succeeded")))
        .await?;
    Ok(())
}
