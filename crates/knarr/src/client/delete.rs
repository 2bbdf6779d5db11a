//! `knarr delete`: by name, by label or by manifest; waits until it is gone.
use super::{
    Api, in_kubectls_words, is_not_found, manifest,
    resources::{Resource, Resources},
};
use crate::cli::DeleteOptions;
use anyhow::bail;
use http::Method;
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};

/// How often to look whether it is gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Doomed<'a> {
    resource: &'a Resource,
    namespace: String,
    name: String,
}

pub async fn run(options: DeleteOptions) -> anyhow::Result<ExitCode> {
    let api = Api::open(&options.from).await?;
    let resources = Resources::ask(&api).await.map_err(in_kubectls_words)?;
    let mut code = ExitCode::SUCCESS;
    let doomed = find(&api, &resources, &options).await.map_err(in_kubectls_words)?;
    if doomed.is_empty() {
        println!("No resources found");
    }
    for one in &doomed {
        if let Err(error) = delete(&api, one, &options).await {
            if options.ignore_not_found && is_not_found(&error) {
                continue;
            }
            eprintln!("{:#}", in_kubectls_words(error));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn find<'a>(api: &Api, resources: &'a Resources, options: &DeleteOptions) -> anyhow::Result<Vec<Doomed<'a>>> {
    let mut doomed = Vec::new();
    if !options.filename.is_empty() {
        for object in manifest::read(&options.filename)? {
            let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
            let resource = resources.of_kind(&text(&object["apiVersion"]), &text(&object["kind"]))?;
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&api.namespace).to_owned();
            doomed.push(Doomed { resource, namespace, name: text(&object["metadata"]["name"]) });
        }
        return Ok(doomed);
    }
    for (resource, name) in resources.read_words(&options.what)? {
        let namespace = api.namespace.clone();
        match name {
            Some(name) => doomed.push(Doomed { resource, namespace, name }),
            None if options.all || options.selector.is_some() => {
                let selector = options.selector.as_ref().map(|s| format!("?labelSelector={s}")).unwrap_or_default();
                let list = api.get(&(resource.path(Some(&namespace), None) + &selector)).await?;
                let names = list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str());
                doomed.extend(names.map(|name| Doomed { resource, namespace: namespace.clone(), name: name.into() }));
            }
            None => bail!("resource(s) were provided, but no name was specified"),
        }
    }
    Ok(doomed)
}

async fn delete(api: &Api, one: &Doomed<'_>, options: &DeleteOptions) -> anyhow::Result<()> {
    let path = one.resource.path(Some(&one.namespace), Some(&one.name));
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if let Some(seconds) = options.grace_period {
        body["gracePeriodSeconds"] = seconds.into();
    }
    let before = api.get(&path).await?;
    api.send(Method::DELETE, &path, Some("application/json"), "application/json", body.to_string().into()).await?;
    let place = if one.resource.namespaced { format!(" from {} namespace", one.namespace) } else { String::new() };
    let kind = one.resource.named("");
    println!("{} {:?} deleted{place}", kind.trim_end_matches('/'), one.name);
    if options.no_wait { Ok(()) } else { wait_until_gone(api, &path, &before).await }
}

async fn wait_until_gone(api: &Api, path: &str, before: &Value) -> anyhow::Result<()> {
    loop {
        match api.get(path).await {
            Ok(now) if now["metadata"]["uid"] == before["metadata"]["uid"] => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => return Ok(()),
        }
    }
}
