//! `GET /containerLogs/{namespace}/{pod}/{container}`.
use crate::{
    agent::Shared,
    launch::log_folder,
    logs::{self, Query},
    pod::Pod,
};
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{View as _, views};
use knarr_machinery::Key;
use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::mpsc;

/// Chunks on their way to a slow reader; then reading the file waits.
const CHUNKS: usize = 4;

type Refusal = (StatusCode, String);
type Text = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    asked: &HashMap<String, String>,
) -> Result<Text, Refusal> {
    let entry = shared.cluster.shelf.get(&views::Pod::resource(), &Key::new(namespace, name));
    let entry = entry.filter(|entry| shared.slots.entry(&entry.meta.uid).is_some());
    let Some(entry) = entry else { return Err((StatusCode::NOT_FOUND, format!("pod {name:?} does not exist on this node"))) };
    let pod = Pod::read(&entry.bytes).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    if !pod.containers().any(|one| &*one.name == container) {
        return Err((StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {name:?}")));
    }
    let query = query(asked, shared.cluster.clock.now())?;
    let is_previous = is_yes(asked.get("previous"));
    let folder = log_folder(&shared.config.data_dir, &pod).join(container);
    let (attempt, path) = pick(&pod, container, &folder, is_previous)?;
    let log = logs::open(&path).await.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    let (out, chunks) = mpsc::channel(CHUNKS);
    let (uid, container, asked) = (entry.meta.uid.clone(), container.to_owned(), Arc::clone(shared));
    shared.spawn(async move {
        let is_running = || !is_previous && asked.slots.is_running(&uid, &container, attempt);
        if let Err(error) = logs::stream(log, &query, is_running, &out).await {
            tracing::warn!(path = %path.display(), %error, "a log cannot be read");
        }
    });
    let frames = stream::unfold(chunks, async |mut chunks| Some((Ok(Frame::data(chunks.recv().await?)), chunks)));
    Ok(StreamBody::new(frames.boxed()))
}

/// Which attempt's log is meant. The newest that has one, or the one before.
fn pick(pod: &Pod, container: &str, folder: &Path, is_previous: bool) -> Result<(u32, PathBuf), Refusal> {
    let mut attempts: Vec<u32> =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| attempt_of(&entry.ok()?.path())).collect();
    attempts.sort_unstable();
    let name = &pod.metadata.name;
    let Some(newest) = attempts.pop() else { return Err((StatusCode::BAD_REQUEST, waits(pod, container))) };
    let attempt = if is_previous { attempts.pop() } else { Some(newest) };
    let missing = || (StatusCode::BAD_REQUEST, format!("previous terminated container {container:?} in pod {name:?} not found"));
    attempt.map(|attempt| (attempt, folder.join(format!("{attempt}.log")))).ok_or_else(missing)
}

fn attempt_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok()
}

fn waits(pod: &Pod, container: &str) -> String {
    let recorded = pod.recorded();
    let mut all = recorded.init_container_statuses.iter().chain(&recorded.container_statuses);
    let reason = all.find(|status| *status.name == *container).and_then(|status| status.state.waiting.as_ref());
    let reason = reason.and_then(|waiting| waiting["reason"].as_str()).unwrap_or("ContainerCreating");
    format!("container {container:?} in pod {:?} is waiting to start: {reason}", pod.metadata.name)
}

fn query(asked: &HashMap<String, String>, now: Timestamp) -> Result<Query, Refusal> {
    let wrong = |field: &str, value: &str| (StatusCode::BAD_REQUEST, format!("invalid value {value:?} for {field}"));
    let number = |field: &'static str| {
        let value = asked.get(field).map(|value| value.parse::<u64>().map_err(|_| wrong(field, value)));
        value.transpose()
    };
    let since = match (number("sinceSeconds")?, asked.get("sinceTime")) {
        (Some(seconds), _) => now.checked_sub(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))).ok(),
        (None, Some(time)) => Some(time.parse().map_err(|_| wrong("sinceTime", time))?),
        (None, None) => None,
    };
    Ok(Query {
        follow: is_yes(asked.get("follow")),
        timestamps: is_yes(asked.get("timestamps")),
        tail_lines: number("tailLines")?,
        since,
        limit_bytes: number("limitBytes")?,
    })
}

/// A query's names and values, percent-decoded. The last of a name counts.
pub(super) fn parse(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As Kubernetes reads booleans in a query.
fn is_yes(value: Option<&String>) -> bool {
    value.is_some_and(|value| !matches!(value.as_str(), "false" | "0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn picked(files: &[&str], is_previous: bool) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let status = json!({"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
        let pod: Pod = from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap();
        let picked = pick(&pod, "web", folder.path(), is_previous).map_err(|(_, why)| why)?;
        Ok(picked.1.file_name().unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn reads_the_newest_attempt_or_the_one_before() {
        assert_eq!(picked(&["9.log", "10.log", "10.log.1"], false).unwrap(), "10.log");
        assert_eq!(picked(&["9.log", "10.log", "10.log.1"], true).unwrap(), "9.log");
        assert_eq!(picked(&["0.log"], true).unwrap_err(), r#"previous terminated container "web" in pod "p" not found"#);
        assert_eq!(picked(&[], false).unwrap_err(), r#"container "web" in pod "p" is waiting to start: ImagePullBackOff"#);
    }

    #[test]
    fn understands_what_kubectl_asks() {
        let asked = |text: &str| query(&parse(text), Timestamp::from_second(100).unwrap());
        let query = asked("follow=true&tailLines=5&sinceSeconds=40&limitBytes=9").unwrap();
        let since = Some(Timestamp::from_second(60).unwrap());
        assert_eq!(query, Query { follow: true, timestamps: false, tail_lines: Some(5), since, limit_bytes: Some(9) });
        assert_eq!(asked("tailLines=x").unwrap_err().1, r#"invalid value "x" for tailLines"#);
        assert_eq!(asked("sinceTime=1970-01-01T00%3A01%3A00Z").unwrap().since, since);
    }
}
