//! `knarr run FILE.wasm`: one component as a pod, on the cluster that runs here or on one of its own.
use crate::{
    cli::{ClientOptions, RunOptions},
    client::{Api, find_kubeconfig, is_not_found},
    demo::choose_ports,
    options::UpOptions,
    paths,
    up::{Up, until_told},
};
use anyhow::{Context as _, bail};
use http::Method;
use knarr_image::{Images, World};
use serde_json::{Value, json};
use std::{path::Path, process::ExitCode, time::Duration};

/// Far more than compiling and starting takes; a pod that is not there by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub async fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let wasm = tokio::fs::read(&options.file).await.with_context(|| format!("reading {}", options.file.display()))?;
    let name = match options.name.clone() {
        Some(name) => name,
        None => name_for(&options.file)?,
    };
    match here(&options.to).await {
        Some((api, data)) => on(&api, &data, wasm, &name, &options).await.map(Outcome::code),
        None => {
            let folder = tempfile::Builder::new().prefix("knarr-run-").tempdir().context("making a temporary folder")?;
            let mut up_options = UpOptions::for_folder(folder.path());
            choose_ports(&mut up_options);
            eprintln!("no cluster runs here: starting one for this pod (knarr up keeps one)");
            let up = Up::start(&up_options).await?;
            let to = ClientOptions { kubeconfig: Some(up.kubeconfig.clone()), namespace: options.to.namespace.clone() };
            let ended = on(&Api::open(&to).await?, folder.path(), wasm, &name, &options).await;
            if matches!(ended, Ok(Outcome::Serves)) {
                eprintln!("Ctrl-C ends it");
                until_told().await?;
            }
            up.stop(true).await;
            ended.map(Outcome::code)
        }
    }
}

enum Outcome {
    /// It goes on serving.
    Serves,
    Ended(ExitCode),
}

impl Outcome {
    fn code(self) -> ExitCode {
        match self {
            Self::Serves => ExitCode::SUCCESS,
            Self::Ended(code) => code,
        }
    }
}

/// The cluster of `knarr up` on this machine: only its node sees this machine's images.
async fn here(to: &ClientOptions) -> Option<(Api, std::path::PathBuf)> {
    let kubeconfig = find_kubeconfig(to.kubeconfig.clone()).ok()?;
    let data = kubeconfig.parent().filter(|folder| paths::images(folder).is_dir())?.to_owned();
    let api = Api::open(&ClientOptions { kubeconfig: Some(kubeconfig), namespace: to.namespace.clone() }).await.ok()?;
    api.send(Method::GET, "/readyz", None, "*/*", vec![]).await.is_ok().then_some((api, data))
}

/// `target/Hello_World.wasm` becomes `hello-world`.
fn name_for(file: &Path) -> anyhow::Result<String> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-').chars().take(63).collect::<String>();
    if name.is_empty() { bail!("no pod name can be made of {}: give one with --name", file.display()) } else { Ok(name) }
}

async fn on(api: &Api, data: &Path, wasm: Vec<u8>, name: &str, options: &RunOptions) -> anyhow::Result<Outcome> {
    let image = format!("localhost/{name}:run");
    let description = Images::open(paths::images(data))?.import(&wasm, &image).await.with_context(|| options.file.display().to_string())?;
    let serves = matches!(description.world, World::Http | World::Both) && options.args.is_empty();
    replace(api, name, &pod(name, &image, serves, &options.args)).await?;
    if serves { served(api, name).await } else { ran(api, name).await }
}

fn pod(name: &str, image: &str, serves: bool, args: &[String]) -> Value {
    let mut container = json!({"name": "main", "image": image, "imagePullPolicy": "Never"});
    if serves {
        container["ports"] = json!([{"containerPort": 8080}]);
    }
    if !args.is_empty() {
        container["args"] = json!(args);
    }
    let restart = if serves { "Always" } else { "Never" };
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"run": name}}, "spec": {"restartPolicy": restart, "containers": [container]}})
}

/// A pod of an earlier run gives way.
async fn replace(api: &Api, name: &str, pod: &Value) -> anyhow::Result<()> {
    let collection = format!("/api/v1/namespaces/{}/pods", api.namespace);
    let one = format!("{collection}/{name}");
    match api.send(Method::DELETE, &format!("{one}?gracePeriodSeconds=1"), None, "application/json", vec![]).await {
        Ok(_) => wait(api, &one, "the earlier pod to end", |pod| Ok(pod.is_none().then_some(()))).await?,
        Err(error) if is_not_found(&error) => {}
        Err(error) => return Err(error),
    }
    api.send(Method::POST, &collection, Some("application/json"), "application/json", pod.to_string().into()).await?;
    Ok(())
}

/// Looks at the pod until `done` has something to say about it.
async fn wait<T>(api: &Api, path: &str, what: &str, done: impl Fn(Option<&Value>) -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let began = tokio::time::Instant::now();
    loop {
        let pod = match api.get(path).await {
            Ok(pod) => Some(pod),
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        };
        if let Some(answer) = done(pod.as_ref())? {
            return Ok(answer);
        }
        if began.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} for {what}; see `knarr get pods` and `knarr events`");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A waiting reason that no waiting heals.
fn hopeless(pod: &Value) -> anyhow::Result<()> {
    const REASONS: &[&str] = &[
        "CompileError",
        "CompileTimeout",
        "ImportUnsatisfied",
        "ImageNotWasm",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CrashLoopBackOff",
    ];
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let reason = waiting["reason"].as_str().unwrap_or_default();
    if REASONS.contains(&reason) {
        let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"];
        bail!("{reason}: {}", waiting["message"].as_str().or(last.as_str()).unwrap_or("see `knarr events`"));
    }
    Ok(())
}

async fn served(api: &Api, name: &str) -> anyhow::Result<Outcome> {
    let path = format!("/api/v1/namespaces/{}/pods/{name}", api.namespace);
    let address = wait(api, &path, "the pod to be Ready", |pod| {
        let pod = pod.context("the pod was deleted")?;
        hopeless(pod)?;
        let ready = pod["status"]["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
        Ok(pod["status"]["podIP"].as_str().filter(|_| ready).map(str::to_owned))
    })
    .await?;
    println!("http://{address}:8080/");
    Ok(Outcome::Serves)
}

async fn ran(api: &Api, name: &str) -> anyhow::Result<Outcome> {
    let path = format!("/api/v1/namespaces/{}/pods/{name}", api.namespace);
    wait(api, &path, "the command to start", |pod| {
        let pod = pod.context("the pod was deleted")?;
        hopeless(pod)?;
        let state = &pod["status"]["containerStatuses"][0]["state"];
        Ok((state["running"].is_object() || state["terminated"].is_object()).then_some(()))
    })
    .await?;
    crate::client::logs::follow(api, &format!("{path}/log?follow=true")).await?;
    let ended = wait(api, &path, "the command to end", |pod| {
        let pod = pod.context("the pod was deleted")?;
        hopeless(pod)?;
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        Ok((!ended.is_null()).then(|| ended.clone()))
    })
    .await?;
    let code = ended["exitCode"].as_i64().unwrap_or(1);
    let reason = ended["reason"].as_str().unwrap_or_default();
    if code != 0 {
        eprintln!("{}", ended["message"].as_str().unwrap_or_default().trim_end());
    }
    eprintln!("exit code {code}{}", if reason == "Completed" { String::new() } else { format!(" ({reason})") });
    Ok(Outcome::Ended(ExitCode::from(u8::try_from(code).unwrap_or(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_pod_after_the_file() {
        for (file, name) in [("target/Hello_World.wasm", "hello-world"), ("a.b.wasm", "a-b")] {
            assert_eq!(name_for(Path::new(file)).unwrap(), name);
        }
        assert!(name_for(Path::new("__.wasm")).is_err());
    }
}
