//! Watches: the changes of a collection as one client wants to see them, line by line.
use crate::{
    answer::{self, Accepted, Form, Header},
    list::check_options,
    query::Query,
    selection::Selection,
    splice,
    state::State,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use knarr_cluster::{Clock, Entry, Seen, Watch};
use knarr_kinds::Kind;
use knarr_machinery::{Revision, Status, table::ListMeta};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Objects of the beginning encoded at once: bounds what a slow reader holds in memory.
const INITIAL_BATCH: usize = 256;
/// How often an idle watcher learns how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Watches end after this to twice this, so that clients that started together do not come back together.
const SHORTEST_SECONDS: u64 = 1800;
/// As long as a client may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// One watch of one client.
struct Watcher {
    watch: Option<Watch>,
    kind: Arc<Kind>,
    selection: Selection,
    form: Form,
    clock: Clock,
    header: Header,
    /// What is there when the watch begins and has not been sent yet.
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// The bookmark that tells the end of the beginning.
    initial_end: Option<Revision>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    stop: CancellationToken,
    /// Sent in place of everything: the watch cannot begin, or cannot go on.
    error: Option<Bytes>,
}

impl State {
    /// Begins a watch. What goes wrong later, and a version that is gone, is told as an event.
    pub async fn watch(
        &self,
        kind: &Arc<Kind>,
        selection: Selection,
        query: &Query,
        accepted: Accepted,
        stop: CancellationToken,
    ) -> Result<impl Stream<Item = Bytes> + Send + use<>, Status> {
        check_options(query, true)?;
        let storage = kind.storage();
        let wanted = query.revision()?;
        if let Some(wanted) = wanted {
            self.wait_for(&storage, wanted).await?;
        }
        let from_the_beginning = if query.has("sendInitialEvents") { query.is_true("sendInitialEvents") } else { wanted.is_none() };
        let bookmarks = query.is_true("allowWatchBookmarks");
        let (listed, now) = if from_the_beginning {
            self.shelf.list(&storage, selection.namespace.as_deref())
        } else {
            (vec![], self.shelf.known(&storage))
        };
        let after = if from_the_beginning { now } else { wanted.unwrap_or(now) };
        let (watch, error) = match self.shelf.watch(&storage, after) {
            Ok(watch) => (Some(watch), None),
            Err(expired) => (None, Some(event("ERROR", &too_old(after, expired.oldest)))),
        };
        let listed: Vec<_> = listed.into_iter().filter(|entry| selection.matches(entry)).collect();
        let watcher = Watcher {
            watch,
            kind: Arc::clone(kind),
            selection,
            form: accepted.form,
            clock: self.clock.clone(),
            header: Header::Shown,
            initial: listed.into_iter(),
            initial_end: (query.is_true("sendInitialEvents") && bookmarks).then_some(after),
            bookmarks,
            next_bookmark: Instant::now() + BOOKMARK_EVERY,
            deadline: Instant::now() + length(query),
            stop,
            error,
        };
        Ok(stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|bytes| (bytes, watcher)) }))
    }
}

fn length(query: &Query) -> Duration {
    match query.number("timeoutSeconds").and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0) {
        Some(seconds) => Duration::from_secs(seconds).min(LONGEST),
        None => Duration::from_secs(rand::random_range(SHORTEST_SECONDS..2 * SHORTEST_SECONDS)),
    }
}

fn too_old(asked: Revision, oldest: Revision) -> Bytes {
    Status::expired(format!("too old resource version: {asked} ({oldest})")).to_json().to_string().into()
}

fn event(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 32);
    write_event(&mut line, kind, object);
    line.into()
}

fn write_event(text: &mut Vec<u8>, kind: &str, object: &[u8]) {
    text.extend_from_slice(br#"{"type":""#);
    text.extend_from_slice(kind.as_bytes());
    text.extend_from_slice(br#"","object":"#);
    text.extend_from_slice(object);
    text.extend_from_slice(b"}\n");
}

impl Watcher {
    /// The next piece of the answer; None at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(error) = self.error.take() {
                self.watch = None;
                return Some(error);
            }
            if let Some(piece) = self.beginning() {
                return Some(piece);
            }
            let watch = self.watch.as_mut()?;
            let seen = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.deadline) => return self.last_bookmark(),
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    return Some(self.up_to_now());
                }
                seen = watch.next() => seen,
            };
            match seen {
                Ok(seen) => {
                    let text = self.encode(&seen);
                    if !text.is_empty() {
                        return Some(text.into());
                    }
                }
                Err(expired) => self.error = Some(event("ERROR", &too_old(Revision(0), expired.oldest))),
            }
        }
    }

    fn beginning(&mut self) -> Option<Bytes> {
        let batch: Vec<_> = self.initial.by_ref().take(INITIAL_BATCH).collect();
        let mut text = vec![];
        for entry in &batch {
            self.write(&mut text, "ADDED", entry.bytes.clone());
        }
        if self.initial.len() == 0
            && let Some(revision) = self.initial_end.take()
        {
            let mut object = self.bookmark(revision);
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            write_event(&mut text, "BOOKMARK", object.to_string().as_bytes());
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// The last thing before the time is up, so that the client goes on from there.
    fn last_bookmark(&mut self) -> Option<Bytes> {
        let last = self.bookmarks.then(|| self.up_to_now());
        self.watch = None;
        last
    }

    /// What is still to be told, and how far that reaches.
    fn up_to_now(&mut self) -> Bytes {
        let Some(watch) = &mut self.watch else { return Bytes::new() };
        let mut known = watch.known();
        let seen = match watch.ready() {
            Ok(seen) => seen,
            Err(expired) => return event("ERROR", &too_old(known, expired.oldest)),
        };
        // There may be more than comes at once; then what came last is as far as it reaches.
        if let Some(last) = seen.last() {
            known = last.revision;
        }
        let mut text = self.encode(&seen);
        write_event(&mut text, "BOOKMARK", self.bookmark(known).to_string().as_bytes());
        text.into()
    }

    fn bookmark(&self, revision: Revision) -> Value {
        let (api_version, kind) = match self.form {
            Form::Object => (self.kind.api_version(), self.kind.kind.to_string()),
            Form::Partial => ("meta.k8s.io/v1".into(), "PartialObjectMetadata".into()),
            Form::Table(_) => {
                return json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision.to_string()}, "columnDefinitions": null, "rows": []});
            }
        };
        json!({"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null}})
    }

    fn encode(&mut self, seen: &[Seen]) -> Vec<u8> {
        let mut text = vec![];
        for change in seen {
            let shows = |entry: &Option<Arc<Entry>>| entry.clone().filter(|entry| self.selection.matches(entry));
            match (shows(&change.now), shows(&change.was)) {
                (Some(now), None) => self.write(&mut text, "ADDED", now.bytes.clone()),
                (Some(now), Some(_)) => self.write(&mut text, "MODIFIED", now.bytes.clone()),
                // Gone, or gone from sight: either way its last state that was in sight, at the revision of the change.
                (None, Some(was)) => self.write(&mut text, "DELETED", splice::with_revision(&was.bytes, change.revision)),
                (None, None) => {}
            }
        }
        text
    }

    fn write(&mut self, text: &mut Vec<u8>, kind: &str, stored: Bytes) {
        match self.shaped(stored) {
            Ok(object) => write_event(text, kind, &object),
            Err(error) => tracing::error!(%error, kind = %self.kind.kind, "a stored object cannot be shown"),
        }
    }

    fn shaped(&mut self, stored: Bytes) -> Result<Bytes, Status> {
        let object = answer::served(&self.kind, stored)?;
        let Form::Table(include) = self.form else { return answer::object(&self.kind, &object, self.form, self.clock.now()) };
        let header = std::mem::replace(&mut self.header, Header::Hidden);
        answer::rows(&self.kind, &[object], include, &ListMeta::default(), header, self.clock.now())
    }
}
