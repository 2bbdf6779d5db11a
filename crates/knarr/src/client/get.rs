//! `knarr get`: the server's own tables, printed as kubectl prints them.
use super::{
    Api, TABLE, in_kubectls_words,
    resources::{Resource, Resources},
    table,
};
use crate::cli::{GetOptions, Output};
use anyhow::Context as _;
use futures_util::StreamExt as _;
use http::Method;
use http_body_util::BodyStream;
use serde_json::{Value, json};
use std::process::ExitCode;

pub async fn run(options: GetOptions) -> anyhow::Result<ExitCode> {
    let api = Api::open(&options.from).await?;
    let resources = Resources::ask(&api).await.map_err(in_kubectls_words)?;
    let meant = resources.read_words(&options.what)?;
    let several_kinds = meant.iter().any(|(resource, _)| *resource != meant[0].0);
    match options.output {
        Some(Output::Json | Output::Yaml) => objects(&api, &meant, &options).await.map_err(in_kubectls_words),
        _ => tables(&api, &meant, &options, several_kinds).await,
    }
}

type Meant<'a> = [(&'a Resource, Option<String>)];

/// The path with its query.
fn path(api: &Api, resource: &Resource, name: Option<&str>, options: &GetOptions, more: &[(&str, &str)]) -> String {
    let namespace = (!options.all_namespaces).then_some(api.namespace.as_str());
    let selectors = [("labelSelector", options.selector.as_deref()), ("fieldSelector", options.field_selector.as_deref())];
    let query = selectors.into_iter().filter_map(|(key, value)| Some((key, value?))).chain(more.iter().copied());
    let query: Vec<_> = query.map(|(key, value)| format!("{key}={}", encode(value))).collect();
    let path = resource.path(namespace, name);
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

fn encode(value: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    value.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

async fn objects(api: &Api, meant: &Meant<'_>, options: &GetOptions) -> anyhow::Result<ExitCode> {
    let mut items = Vec::new();
    for (resource, name) in meant {
        let answer = api.get(&path(api, resource, name.as_deref(), options, &[])).await?;
        match (name, answer["items"].as_array()) {
            (None, Some(list)) => items.extend(list.iter().cloned().map(|item| with_kind(item, resource))),
            _ => items.push(answer),
        }
    }
    let one = matches!(meant, [(_, Some(_))]);
    let said = if one {
        items.remove(0)
    } else {
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
    };
    match options.output {
        Some(Output::Yaml) => print!("{}", serde_saphyr::to_string(&said).context("an object as YAML")?),
        _ => println!("{}", serde_json::to_string_pretty(&said)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Items of a list carry no kind of their own.
fn with_kind(mut item: Value, resource: &Resource) -> Value {
    item["apiVersion"] = resource.api_version().into();
    item["kind"] = resource.kind.clone().into();
    item
}

async fn tables(api: &Api, meant: &Meant<'_>, options: &GetOptions, several_kinds: bool) -> anyhow::Result<ExitCode> {
    let (mut code, mut shown) = (ExitCode::SUCCESS, false);
    let mut version = String::new();
    for (resource, names) in group_by_kind(meant) {
        let mut rows = Vec::new();
        for name in names {
            match api.send(Method::GET, &path(api, resource, name.as_deref(), options, &[]), None, TABLE, vec![]).await {
                Ok(answer) => {
                    let answer: Value = serde_json::from_slice(&answer)?;
                    version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                    rows.push(answer);
                }
                Err(error) => {
                    eprintln!("{:#}", in_kubectls_words(error));
                    code = ExitCode::FAILURE;
                }
            }
        }
        let printed = Printed::new(resource, &rows, options, several_kinds);
        if !printed.rows.is_empty() {
            if shown {
                println!();
            }
            print!("{}", printed.text());
            shown = true;
        }
    }
    if options.watch
        && let [(resource, name)] = meant
    {
        return watch(api, resource, name.as_deref(), options, &version).await.map_err(in_kubectls_words);
    }
    if !shown && code == ExitCode::SUCCESS && options.output != Some(Output::Name) {
        let place = if options.all_namespaces { String::new() } else { format!(" in {} namespace", api.namespace) };
        eprintln!("No resources found{}", if meant.iter().any(|(r, _)| r.namespaced) { format!("{place}.") } else { String::new() });
    }
    Ok(code)
}

fn group_by_kind<'a>(meant: &Meant<'a>) -> Vec<(&'a Resource, Vec<Option<String>>)> {
    let mut groups: Vec<(&Resource, Vec<Option<String>>)> = Vec::new();
    for (resource, name) in meant {
        match groups.iter_mut().find(|(known, _)| known == resource) {
            Some((_, names)) => names.push(name.clone()),
            None => groups.push((resource, vec![name.clone()])),
        }
    }
    groups
}

/// One kind's table, ready to print.
struct Printed {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    names_only: bool,
}

impl Printed {
    fn new(resource: &Resource, answers: &[Value], options: &GetOptions, several_kinds: bool) -> Self {
        let wide = options.output == Some(Output::Wide);
        let names_only = options.output == Some(Output::Name);
        let with_namespace = options.all_namespaces && resource.namespaced;
        let columns = answers.first().map(|a| columns(a, wide)).unwrap_or_default();
        let header = std::iter::once("NAMESPACE".to_owned())
            .filter(|_| with_namespace)
            .chain(columns.iter().map(|(_, name)| name.clone()))
            .collect();
        let rows = answers
            .iter()
            .flat_map(|answer| answer["rows"].as_array().into_iter().flatten())
            .map(|row| {
                let metadata = &row["object"]["metadata"];
                if names_only {
                    return vec![resource.named(metadata["name"].as_str().unwrap_or_default())];
                }
                let namespace = with_namespace.then(|| metadata["namespace"].as_str().unwrap_or_default().to_owned());
                let cells = columns.iter().map(|(i, name)| {
                    let cell = cell(&row["cells"][*i]);
                    if several_kinds && name == "NAME" { resource.named(&cell) } else { cell }
                });
                namespace.into_iter().chain(cells).collect()
            })
            .collect();
        Self { header: if options.no_headers || names_only { vec![] } else { header }, rows, names_only }
    }

    fn text(&self) -> String {
        if self.names_only {
            return self.rows.iter().map(|row| row.join("") + "\n").collect();
        }
        table::render(&self.header, &self.rows)
    }
}

/// Index and heading of the columns to show.
fn columns(answer: &Value, wide: bool) -> Vec<(usize, String)> {
    let all = answer["columnDefinitions"].as_array().into_iter().flatten().enumerate();
    all.filter(|(_, c)| wide || c["priority"].as_i64().unwrap_or(0) == 0)
        .map(|(i, c)| (i, c["name"].as_str().unwrap_or_default().to_uppercase()))
        .collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".into(),
        other => other.to_string(),
    }
}

async fn watch(api: &Api, resource: &Resource, name: Option<&str>, options: &GetOptions, version: &str) -> anyhow::Result<ExitCode> {
    let field = name.map(|name| format!("metadata.name={name}"));
    let mut query = vec![("watch", "true"), ("resourceVersion", version)];
    query.extend(field.as_deref().map(|field| ("fieldSelector", field)));
    let body = api.stream(Method::GET, &path(api, resource, None, options, &query), None, TABLE, vec![]).await?;
    let (mut body, mut line, mut columns_seen) = (BodyStream::new(body), Vec::new(), None);
    while let Some(frame) = body.next().await {
        let Ok(data) = frame.context("the watch broke off")?.into_data() else { continue };
        for byte in data {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let event: Value = serde_json::from_slice(&line)?;
            line.clear();
            let mut answer = event["object"].clone();
            if event["type"] == "ERROR" {
                anyhow::bail!("{}", answer["message"].as_str().unwrap_or("the watch ended"));
            }
            // Only the first event of a watch carries the columns.
            match answer["columnDefinitions"].as_array() {
                Some(columns) if !columns.is_empty() => columns_seen = Some(answer["columnDefinitions"].clone()),
                _ => answer["columnDefinitions"] = columns_seen.clone().unwrap_or_default(),
            }
            let mut printed = Printed::new(resource, &[answer], options, false);
            printed.header.clear();
            print!("{}", printed.text());
        }
    }
    Ok(ExitCode::SUCCESS)
}
