//! `knarr apply -f`: creates what is missing, and merges what changed since it was last applied, as `kubectl apply` does on the client's side.
use super::{Api, in_kubectls_words, is_not_found, manifest, resources::{Resource, Resources}};
use crate::cli::ApplyOptions;
use anyhow::Context as _;
use http::Method;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Shared with kubectl, so that either goes on where the other stopped.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub async fn run(options: ApplyOptions) -> anyhow::Result<ExitCode> {
    let objects = manifest::read(&options.filename)?;
    let api = Api::open(&options.to).await?;
    let resources = Resources::ask(&api).await.map_err(in_kubectls_words)?;
    let mut code = ExitCode::SUCCESS;
    // One bad document leaves its siblings applied.
    for object in objects {
        match one(&api, &resources, object).await {
            Ok(said) => println!("{said}"),
            Err(error) => {
                eprintln!("{:#}", in_kubectls_words(error));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Applies one object and says so: `deployment.apps/web configured`.
pub async fn one(api: &Api, resources: &Resources, object: Value) -> anyhow::Result<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let resource = resources.of_kind(text("apiVersion"), text("kind"))?;
    let name = object["metadata"]["name"].as_str().context("resource name may not be empty")?.to_owned();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&api.namespace).to_owned();
    let wanted = with_last_applied(object);
    let path = resource.path(Some(&namespace), Some(&name));
    let verb = match api.get(&path).await {
        Err(error) if is_not_found(&error) => {
            let collection = resource.path(Some(&namespace), None);
            api.send(Method::POST, &collection, Some("application/json"), "application/json", wanted.to_string().into()).await?;
            "created"
        }
        Err(error) => return Err(error),
        Ok(live) => patch(api, &path, &live, &wanted).await?,
    };
    Ok(format!("{} {verb}", said_name(resource, &name)))
}

fn said_name(resource: &Resource, name: &str) -> String {
    resource.named(name)
}

async fn patch(api: &Api, path: &str, live: &Value, wanted: &Value) -> anyhow::Result<&'static str> {
    let last = live["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    let patch = three_way(&last, wanted);
    let answer = api.send(Method::PATCH, path, Some("application/merge-patch+json"), "application/json", patch.to_string().into()).await?;
    let now: Value = serde_json::from_slice(&answer)?;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    Ok(if version(&now) == version(live) { "unchanged" } else { "configured" })
}

/// The manifest, with itself noted in an annotation for the next time.
fn with_last_applied(mut object: Value) -> Value {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let noted = format!("{object}\n");
    object["metadata"]["annotations"][LAST_APPLIED] = noted.into();
    object
}

/// A merge patch that sets all that is wanted and clears what was applied last time and is not wanted any more.
fn three_way(last: &Value, wanted: &Value) -> Value {
    let (Some(last), Some(wanted)) = (last.as_object(), wanted.as_object()) else { return wanted.clone() };
    let mut patch: Map<String, Value> = wanted.iter().map(|(key, value)| (key.clone(), last.get(key).map_or_else(|| value.clone(), |last| three_way(last, value)))).collect();
    for key in last.keys().filter(|key| !wanted.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clears_only_what_it_had_set() {
        let last = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 1}});
        let wanted = json!({"metadata": {"labels": {"a": "3"}}, "data": [1]});
        assert_eq!(three_way(&last, &wanted), json!({"metadata": {"labels": {"a": "3", "b": null}}, "data": [1], "spec": null}));
    }

    #[test]
    fn notes_the_manifest_without_the_note() {
        let once = with_last_applied(json!({"kind": "A", "metadata": {"name": "a"}}));
        assert_eq!(with_last_applied(once.clone())["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().matches(LAST_APPLIED).count(), 0);
    }
}
