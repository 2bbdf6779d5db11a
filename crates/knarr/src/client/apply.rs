//! `knarr apply -f`: creates what is missing, and merges what changed since it was last applied, as `kubectl apply` does on the client's side.
use super::{
    Api, in_kubectls_words, is_not_found, manifest,
    resources::{Resource, Resources},
};
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
    let last = live["metadata"]["annotations"][LAST_APPLIED]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| json!({}));
    let Some(patch) = three_way(&last, wanted, live) else { return Ok("unchanged") };
    let body = patch.to_string().into();
    api.send(Method::PATCH, path, Some("application/merge-patch+json"), "application/json", body).await?;
    Ok("configured")
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

/// A merge patch that sets what is wanted and not so yet, and clears what was applied last time and is not wanted any more. None: nothing to do.
fn three_way(last: &Value, wanted: &Value, live: &Value) -> Option<Value> {
    let Some(fields) = wanted.as_object() else { return (!is_so(wanted, live)).then(|| wanted.clone()) };
    let mut patch: Map<String, Value> = fields
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), three_way(&last[key], value, live.get(key).unwrap_or(&Value::Null))?)))
        .collect();
    let gone =
        last.as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| !fields.contains_key(*key) && live.get(*key).is_some());
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty() || !live.is_object()).then_some(Value::Object(patch))
}

/// Is everything that is wanted there? The server adds fields of its own, to the elements of lists too.
fn is_so(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|live| is_so(value, live)))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(wanted, live)| is_so(wanted, live))
        }
        _ => wanted == live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_only_what_is_not_so_yet() {
        for (last, wanted, live, expected) in [
            (
                json!({"l": {"a": "1", "b": "2"}, "s": 1}),
                json!({"l": {"a": "3"}}),
                json!({"l": {"a": "1", "b": "2", "c": "9"}, "s": 1}),
                json!({"l": {"a": "3", "b": null}, "s": null}),
            ),
            (json!({}), json!({"c": [{"n": "x"}]}), json!({"c": [{"n": "x", "default": true}]}), Value::Null),
            (json!({}), json!({"c": [{"n": "x"}]}), json!({"c": [{"n": "y"}]}), json!({"c": [{"n": "x"}]})),
            (json!({"gone": 1}), json!({"kept": 1}), json!({"kept": 1}), Value::Null),
            (json!({}), json!({"new": {}}), json!({}), json!({"new": {}})),
        ] {
            assert_eq!(three_way(&last, &wanted, &live).unwrap_or_default(), expected, "{wanted}");
        }
    }

    #[test]
    fn notes_the_manifest_without_the_note() {
        let once = with_last_applied(json!({"kind": "A", "metadata": {"name": "a"}}));
        assert_eq!(
            with_last_applied(once.clone())["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().matches(LAST_APPLIED).count(),
            0
        );
    }
}
