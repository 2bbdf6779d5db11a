//! Keeps a part of the cluster on the shelf: lists it, watches what changes, and lists again when the thread is lost.
use super::{
    backoff::Backoff,
    door::send,
    list::Page,
    request::{Part, Source, WATCH_SECONDS},
    stream::{Event, Lines},
};
use crate::{Change, Shelf, Step};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use knarr_machinery::{Reason, Revision, Status};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A watch that stays silent longer than the server may keep it, bookmarks and end included, hangs on a dead connection.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 30);
/// A server that has not begun to answer a watch by then is taken for away.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a pass ended before its time.
#[derive(Debug)]
enum Lost {
    /// What happened since is no longer known: list again.
    Expired,
    /// Try again from the same place, a little later.
    Broken(String),
}

/// Feeds a shelf until it is told to stop. Failures are retried for ever, with growing waits up to ten seconds; a list that replaces what is
/// there tells watchers the difference, so that loops also learn what went in between.
pub async fn feed(client: kube::Client, shelf: Arc<Shelf>, source: Source, stop: CancellationToken) {
    Feed { client, shelf, source, listed: watch::Sender::new(false) }.run(stop).await;
}

pub(super) struct Feed {
    pub(super) client: kube::Client,
    pub(super) shelf: Arc<Shelf>,
    pub(super) source: Source,
    /// Becomes true with the first list.
    pub(super) listed: watch::Sender<bool>,
}

impl Feed {
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RandomState::new().hash_one(&self.source.version).to_le_bytes()[0]);
        let mut from = None;
        while !stop.is_cancelled() {
            let lost = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.pass(&mut from, &mut backoff) => outcome.err(),
            };
            match lost {
                // The server ends every watch after a while; going on at once is what it expects.
                None => continue,
                Some(Lost::Expired) => from = None,
                Some(Lost::Broken(why)) => tracing::warn!(resource = %self.source.resource, why, "the feed is interrupted"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(backoff.wait()) => {}
            }
        }
    }

    /// Lists where there is no place to go on from, then watches until the server ends it.
    async fn pass(&self, from: &mut Option<Revision>, backoff: &mut Backoff) -> Result<(), Lost> {
        let after = match *from {
            Some(after) => after,
            None => self.list().await?,
        };
        *from = Some(after);
        let mut body = self.open(after).await?;
        let mut lines = Lines::default();
        while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| Lost::Broken("the watch fell silent".into()))? {
            let frame = frame.map_err(|error| Lost::Broken(error.to_string()))?;
            let Ok(chunk) = frame.into_data() else { continue };
            let (mut steps, mut lost) = (vec![], None);
            for line in lines.push(&chunk).map_err(Lost::Broken)? {
                match self.step(&line) {
                    Ok(step) => steps.push(step),
                    Err(why) => {
                        lost = Some(why);
                        break;
                    }
                }
            }
            if let Some(newest) = self.take(steps) {
                *from = Some(newest);
                backoff.reset();
            }
            if let Some(lost) = lost {
                return Err(lost);
            }
        }
        Ok(())
    }

    /// Puts what a chunk brought on the shelf, and answers how far that is.
    fn take(&self, steps: Vec<(Revision, Option<Change>)>) -> Option<Revision> {
        let newest = steps.iter().map(|(revision, _)| *revision).max()?;
        let resource = &self.source.resource;
        let changes =
            steps.into_iter().filter_map(|(revision, change)| Some(Step { resource: resource.clone(), revision, change: change? }));
        self.shelf.apply(changes.collect());
        self.shelf.advance(resource, newest);
        Some(newest)
    }

    /// What one line of a watch asks for.
    fn step(&self, line: &[u8]) -> Result<(Revision, Option<Change>), Lost> {
        match Event::read(line).map_err(Lost::Broken)? {
            Event::Put(revision, bytes) => Ok((revision, Some(Change::Put(bytes)))),
            Event::Delete(revision, key) => Ok((revision, Some(Change::Delete(key)))),
            Event::Bookmark(revision) => Ok((revision, None)),
            Event::Error(status) => Err(lost(&status)),
        }
    }

    /// Lists all pages, and puts them in place of what is on the shelf.
    async fn list(&self) -> Result<Revision, Lost> {
        let (mut objects, mut token) = (vec![], String::new());
        loop {
            let (code, _, body) = send(&self.client, self.source.list(&token)).await.map_err(|status| lost(&status))?;
            if !code.is_success() {
                return Err(lost(&Status::from_json(code.as_u16(), &body)));
            }
            let page = Page::read(&body).map_err(Lost::Broken)?;
            objects.extend(page.objects);
            if page.token.is_empty() {
                self.replace(page.revision, objects);
                self.listed.send_replace(true);
                return Ok(page.revision);
            }
            token = page.token;
        }
    }

    fn replace(&self, revision: Revision, objects: Vec<(Revision, Bytes)>) {
        let resource = &self.source.resource;
        match &self.source.part {
            Part::Whole | Part::Selected(_) => self.shelf.replace(resource, revision, objects),
            Part::One(key) => self.shelf.replace_one(resource, revision, key, objects.into_iter().next()),
        }
    }

    async fn open(&self, after: Revision) -> Result<kube::client::Body, Lost> {
        let request = self.source.watch(after).map(Into::into);
        let answer = timeout(OPEN_TIMEOUT, self.client.send(request)).await;
        let answer = answer.map_err(|_| Lost::Broken("the server did not answer in time".into()))?;
        let (head, body) = answer.map_err(|error| Lost::Broken(error.to_string()))?.into_parts();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let body = timeout(OPEN_TIMEOUT, body.collect()).await.map_err(|_| Lost::Broken(head.status.to_string()))?;
        let body = body.map_err(|error| Lost::Broken(error.to_string()))?.to_bytes();
        Err(lost(&Status::from_json(head.status.as_u16(), &body)))
    }
}

fn lost(status: &Status) -> Lost {
    if status.code == 410 || matches!(status.reason, Reason::Expired | Reason::Gone) {
        return Lost::Expired;
    }
    Lost::Broken(status.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{View, views::Pod};
    use http::{Request, Response};
    use http_body_util::Full;
    use knarr_machinery::Key;
    use std::{
        collections::VecDeque,
        convert::Infallible,
        sync::{Mutex, PoisonError},
    };

    /// A server that answers from a script, then never again, and remembers what it was asked.
    fn server(script: &[(u16, String)]) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(vec![]));
        let script = Arc::new(Mutex::new(script.iter().cloned().collect::<VecDeque<_>>()));
        let asked_here = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            asked_here.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
            let next = script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            async move {
                let Some((code, body)) = next else { return std::future::pending().await };
                Ok::<_, Infallible>(Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap())
            }
        });
        (kube::Client::new(service, "default"), asked)
    }

    fn pod(name: &str, revision: u64) -> String {
        format!(r#"{{"metadata":{{"namespace":"d","name":"{name}","resourceVersion":"{revision}"}}}}"#)
    }

    fn list(revision: u64, token: &str, items: &[String]) -> (u16, String) {
        (200, format!(r#"{{"metadata":{{"resourceVersion":"{revision}","continue":"{token}"}},"items":[{}]}}"#, items.join(",")))
    }

    fn watch(events: &[(&str, String)]) -> (u16, String) {
        (200, events.iter().map(|(kind, object)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")).collect())
    }

    fn gone() -> (&'static str, String) {
        ("ERROR", Status::expired("too old").to_json().to_string())
    }

    /// Plays a script and answers what is on the shelf when it reached a revision, with what was asked in short.
    async fn play(part: Part, script: &[(u16, String)], until: u64) -> (String, String) {
        let (client, asked) = server(script);
        let (shelf, stop) = (Shelf::remote(), CancellationToken::new());
        let source = Source { resource: Pod::resource(), version: "v1".into(), part };
        let feeding = tokio::spawn(feed(client, Arc::clone(&shelf), source, stop.clone()));
        shelf.reached(&Pod::resource(), Revision(until)).await;
        let (entries, known) = shelf.list(&Pod::resource(), None);
        stop.cancel();
        feeding.await.unwrap();
        let names = entries.iter().map(|entry| format!("{}@{} ", entry.key.name, entry.revision)).collect::<String>();
        let short = |query: &String| {
            let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).map(ToOwned::to_owned);
            of("resourceVersion=")
                .map(|from| format!("watch {from}"))
                .or(of("continue=").map(|token| format!("list {token}")))
                .unwrap_or("list".into())
        };
        let asked = asked.lock().unwrap().iter().map(short).collect::<Vec<_>>().join(", ");
        (format!("{names}:{known}"), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn lists_all_pages_then_watches() {
        let script = [
            list(5, "t", &[pod("a", 1)]),
            list(5, "", &[pod("b", 2)]),
            watch(&[("ADDED", pod("c", 6)), ("MODIFIED", pod("a", 7)), ("DELETED", pod("b", 8)), ("BOOKMARK", pod("", 9))]),
        ];
        let (shelf, asked) = play(Part::Whole, &script, 9).await;
        assert_eq!(shelf, "a@7 c@6 :9");
        assert!(asked.starts_with("list, list t, watch 5"), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_where_a_watch_ended_or_broke() {
        let script = [list(5, "", &[]), watch(&[("ADDED", pod("a", 6))]), (503, "away".into()), watch(&[("ADDED", pod("b", 7))])];
        let (shelf, asked) = play(Part::Whole, &script, 7).await;
        assert_eq!(shelf, "a@6 b@7 :7");
        assert!(asked.starts_with("list, watch 5, watch 6, watch 6"), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn lists_again_when_the_thread_is_lost_and_drops_what_went() {
        for lost in [watch(&[("ADDED", pod("c", 6)), gone()]), (410, Status::expired("too old").to_json().to_string())] {
            let script = [list(5, "", &[pod("a", 1), pod("b", 2)]), lost, list(9, "", &[pod("b", 8)])];
            let (shelf, asked) = play(Part::Whole, &script, 9).await;
            assert_eq!(shelf, "b@8 :9");
            assert!(asked.starts_with("list, watch 5, list"), "{asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_continue_token_that_expired_begins_the_list_again() {
        let script = [list(5, "t", &[pod("a", 1)]), (410, Status::expired("old token").to_json().to_string()), list(7, "", &[pod("b", 6)])];
        let (shelf, asked) = play(Part::Whole, &script, 7).await;
        assert_eq!((shelf.as_str(), asked.starts_with("list, list t, list")), ("b@6 :7", true));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_a_server_that_is_not_there_yet() {
        let mut script = vec![(503, "away".to_owned()); 10];
        script.push(list(5, "", &[pod("a", 1)]));
        assert_eq!(play(Part::Whole, &script, 5).await.0, "a@1 :5");
    }

    #[test]
    fn the_feed_of_one_object_leaves_the_others_alone() {
        let shelf = Shelf::remote();
        let key = |name| Key::new("d", name);
        for (name, revision) in [("mine", 1), ("other", 2)] {
            shelf.put(&Pod::resource(), Revision(revision), pod(name, revision).into());
        }
        shelf.replace_one(&Pod::resource(), Revision(5), &key("mine"), None);
        assert!(shelf.get(&Pod::resource(), &key("mine")).is_none() && shelf.get(&Pod::resource(), &key("other")).is_some());
        shelf.replace_one(&Pod::resource(), Revision(6), &key("mine"), Some((Revision(6), pod("mine", 6).into())));
        assert!(shelf.get(&Pod::resource(), &key("mine")).is_some());
    }
}
