//! `knarr events`: what happened, oldest first.
use super::{Api, in_kubectls_words, resources::Resources, table};
use crate::cli::EventsOptions;
use jiff::Timestamp;
use knarr_kinds::human_duration;
use serde_json::Value;
use std::process::ExitCode;

pub async fn run(options: EventsOptions) -> anyhow::Result<ExitCode> {
    let api = Api::open(&options.from).await?;
    let place = if options.all_namespaces { String::new() } else { format!("/namespaces/{}", api.namespace) };
    let mut path = format!("/api/v1{place}/events");
    if let Some(about) = &options.about {
        let resources = Resources::ask(&api).await.map_err(in_kubectls_words)?;
        let meant = resources.read_words(std::slice::from_ref(about))?;
        let selectors = meant.iter().flat_map(|(resource, name)| {
            [Some(format!("involvedObject.kind={}", resource.kind)), name.as_ref().map(|name| format!("involvedObject.name={name}"))]
        });
        path = format!("{path}?fieldSelector={}", selectors.flatten().collect::<Vec<_>>().join(","));
    }
    let list = api.get(&path).await.map_err(in_kubectls_words)?;
    let mut events: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    if events.is_empty() {
        eprintln!("No events found{}.", if options.all_namespaces { String::new() } else { format!(" in {} namespace", api.namespace) });
        return Ok(ExitCode::SUCCESS);
    }
    events.sort_by_key(|event| last_seen(event));
    let now = Timestamp::now();
    let rows: Vec<_> = events.iter().map(|event| row(event, now, options.all_namespaces)).collect();
    let header = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    let header: Vec<_> = header.iter().skip(usize::from(!options.all_namespaces)).map(|word| (*word).to_owned()).collect();
    print!("{}", table::render(&header, &rows));
    Ok(ExitCode::SUCCESS)
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    ["lastTimestamp", "eventTime", "firstTimestamp"].iter().find_map(|field| event[*field].as_str()?.parse().ok())
}

fn row(event: &Value, now: Timestamp, with_namespace: bool) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &event["involvedObject"];
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "<unknown>".into(), |at| human_duration(now.duration_since(at).as_secs()));
    let seen = ago(last_seen(event));
    let count = event["count"].as_u64().unwrap_or(1);
    let first = ago(event["firstTimestamp"].as_str().and_then(|at| at.parse().ok()));
    let seen = if count > 1 { format!("{seen} (x{count} over {first})") } else { seen };
    let object = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
    let namespace = with_namespace.then(|| text(&event["metadata"]["namespace"]));
    let cells = [seen, text(&event["type"]), text(&event["reason"]), object, text(&event["message"]).trim().to_owned()];
    namespace.into_iter().chain(cells).collect()
}
