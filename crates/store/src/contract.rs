//! What every store must do, as one list of named scripts. Each backend's tests run all of them.
//!
//! A script is steps separated by `;`, each `what = answer`. Revisions are counted from the store's newest at the start.
//! `create k`, `update k@r`, `delete k@r` answer the revision taken or `conflict r`; `get k` answers the revision or `none`; `list p [at r]
//! [after k] [limit n]` answers `k@r ... :revision`; `watch p after r` answers the changes so far: `+k@r` (new), `~k@r`, `-k@r`, or
//! `compacted`; `last p` answers a revision; `compact r` and `reopen` answer nothing.
use crate::{Change, Changes, Error, Expect, Keep, Page, Store, Versioned, history};
use bytes::Bytes;
use knarr_machinery::Revision;
use std::{sync::Arc, time::Duration};

/// Every store passes every one of these.
pub const CASES: &[(&str, &str)] = &[
    ("creates once", "create /p/a = 1; create /p/a = conflict 1; get /p/a = 1"),
    ("updates what was looked at", "create /p/a = 1; update /p/a@1 = 2; update /p/a@1 = conflict 2; get /p/a = 2"),
    ("does not update what is not there", "update /p/a@1 = conflict none; get /p/a = none"),
    (
        "deletes what was looked at",
        "create /p/a = 1; delete /p/a@7 = conflict 1; delete /p/a@1 = 2; get /p/a = none; delete /p/a@1 = conflict none",
    ),
    ("a refused write takes no revision", "create /p/a = 1; create /p/a = conflict 1; create /p/b = 2"),
    ("counts once for all prefixes", "create /p/a = 1; create /q/a = 2; create /p/b = 3"),
    ("a deleted key can be made again", "create /p/a = 1; delete /p/a@1 = 2; create /p/a = 3; get /p/a = 3"),
    ("lists in bytewise order", "create /p/b/x = 1; create /p/a-b/x = 2; create /p/a/x = 3; list /p/ = /p/a-b/x@2 /p/a/x@3 /p/b/x@1 :3"),
    ("lists nothing with the newest revision", "create /q/a = 1; list /p/ = :1"),
    ("a prefix ends where it ends", "create /p/a = 1; create /pp/a = 2; create /p = 3; list /p/ = /p/a@1 :3"),
    (
        "lists page by page",
        "create /p/a = 1; create /p/b = 2; create /p/c = 3; list /p/ limit 2 = /p/a@1 /p/b@2 :3; list /p/ after /p/b limit 2 = /p/c@3 :3",
    ),
    (
        "a page shows its own revision",
        "create /p/a = 1; create /p/b = 2; update /p/b@2 = 3; delete /p/a@1 = 4; create /p/c = 5; list /p/ at 2 = /p/a@1 /p/b@2 :2; \
         list /p/ at 3 after /p/a = /p/b@3 :3; list /p/ at 4 limit 1 = /p/b@3 :4",
    ),
    ("a quiet prefix is as it was", "create /p/a = 1; create /q/a = 2; compact 2; list /p/ at 1 = /p/a@1 :1"),
    (
        "forgets when it is told to",
        "create /p/a = 1; update /p/a@1 = 2; update /p/a@2 = 3; compact 3; list /p/ at 2 = compacted; list /p/ at 3 = /p/a@3 :3",
    ),
    ("does not list the future", "create /p/a = 1; list /p/ at 2 = unavailable"),
    (
        "replays every change in order",
        "create /p/a = 1; update /p/a@1 = 2; create /q/a = 3; delete /p/a@2 = 4; watch /p/ after 0 = +/p/a@1 ~/p/a@2 -/p/a@4",
    ),
    (
        "replays after any revision",
        "create /p/a = 1; update /p/a@1 = 2; delete /p/a@2 = 3; watch /p/ after 1 = ~/p/a@2 -/p/a@3; watch /p/ after 3 =",
    ),
    ("replays all prefixes in one", "create /p/a = 1; create /q/a = 2; watch / after 0 = +/p/a@1 +/q/a@2"),
    (
        "tells who asks for the forgotten",
        "create /p/a = 1; update /p/a@1 = 2; compact 2; watch /p/ after 1 = compacted; watch /p/ after 2 =",
    ),
    (
        "a quiet prefix is never forgotten",
        "create /p/a = 1; create /q/a = 2; update /q/a@2 = 3; compact 3; watch /p/ after 1 =; watch /q/ after 2 = compacted",
    ),
    (
        "knows the last change of a prefix",
        "create /p/a = 1; delete /p/a@1 = 2; create /q/a = 3; last /p/ = 2; last /q/ = 3; last / = 3; last /r/ = none",
    ),
    ("keeps what was acknowledged", "create /p/a = 1; create /p/b = 2; delete /p/a@1 = 3; reopen; list /p/ = /p/b@2 :3; create /p/a = 4"),
    ("goes on checking after a restart", "create /p/a = 1; update /p/a@1 = 2; reopen; update /p/a@1 = conflict 2; update /p/a@2 = 3"),
    (
        "a watch goes on after a restart",
        "create /p/a = 1; create /q/a = 2; reopen; watch /q/ after 2 =; last /q/ = 2; watch /p/ after 1 =; create /p/b = 3",
    ),
    ("deletes count as the last change after a restart", "create /p/a = 1; delete /p/a@1 = 2; create /q/a = 3; reopen; last /p/ = 2"),
    ("keeps an unsynced write over an orderly restart", "create /soon/x/y/a = 1; reopen; get /soon/x/y/a = 1; create /p/a = 2"),
];

/// How stores of this suite are opened. `/soon/` is not synced, and `/brief/` expires after an hour.
pub fn keeps() -> Vec<Keep> {
    let soon = |prefix: &str, time_to_live| Keep { prefix: prefix.into(), durability: crate::Durability::Soon, time_to_live };
    vec![soon("/soon/", None), soon("/brief/", Some(Duration::from_secs(3600)))]
}

/// Runs every case on a store of its own. `reopen` closes a store in an orderly way and opens it again; one that cannot be is handed back.
///
/// # Panics
/// When the store does not do what a case says, with the case's name.
pub async fn check(open: impl Fn() -> Arc<dyn Store>, reopen: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>) {
    for (name, script) in CASES {
        let mut store = open();
        let base = newest(&*store).await;
        for step in script.split(';').map(str::trim) {
            let (what, want) = step.split_once('=').unwrap_or((step, ""));
            if what.trim() == "reopen" {
                store = reopen(store);
                continue;
            }
            let got = Run { store: &*store, base }.step(what.trim()).await;
            assert_eq!(got, want.trim(), "{name}: {step}");
        }
    }
}

async fn newest(store: &dyn Store) -> u64 {
    store.list("/", Page { limit: 1, ..Page::default() }).await.expect("an open store lists").1.0
}

struct Run<'a> {
    store: &'a dyn Store,
    base: u64,
}

impl Run<'_> {
    async fn step(&self, what: &str) -> String {
        let words: Vec<_> = what.split_whitespace().collect();
        match words[..] {
            ["create", key] => self.write(key, Expect::Absent, true).await,
            ["update", at] => self.write_at(at, true).await,
            ["delete", at] => self.write_at(at, false).await,
            ["get", key] => match self.store.get(key).await.expect("an open store reads") {
                Some(found) => {
                    check_value(&found);
                    self.say(found.revision)
                }
                None => "none".into(),
            },
            ["list", prefix, ref options @ ..] => self.list(prefix, options).await,
            ["watch", prefix, "after", after] => self.watch(prefix, self.revision(after)).await,
            ["last", prefix] => self.say(self.store.last_change(prefix).await.expect("an open store knows")),
            ["compact", up_to] => {
                self.store.compact(self.revision(up_to)).await.expect("an open store compacts");
                String::new()
            }
            _ => panic!("no such step: {what}"),
        }
    }

    async fn write_at(&self, at: &str, is_put: bool) -> String {
        let (key, revision) = at.split_once('@').expect("key@revision");
        self.write(key, Expect::At(self.revision(revision)), is_put).await
    }

    async fn write(&self, key: &str, expect: Expect, is_put: bool) -> String {
        let value = is_put.then(|| value(key));
        match self.store.write(key, expect, value).await {
            Ok(revision) => self.say(revision),
            Err(Error::Conflict { found }) => format!("conflict {}", found.map_or("none".into(), |found| self.say(found))),
            Err(error) => panic!("{key}: {error}"),
        }
    }

    async fn list(&self, prefix: &str, options: &[&str]) -> String {
        let mut page = Page::default();
        for option in options.chunks(2) {
            match *option {
                ["at", at] => page.at = Some(self.revision(at)),
                ["after", after] => page.after = Some(after),
                ["limit", limit] => page.limit = limit.parse().expect("a number"),
                _ => panic!("no such option: {option:?}"),
            }
        }
        match self.store.list(prefix, page).await {
            Ok((list, revision)) => {
                list.iter().for_each(check_value);
                let words = list.iter().map(|found| format!("{}@{} ", found.key, self.say(found.revision)));
                format!("{}:{}", words.collect::<String>(), self.say(revision))
            }
            Err(Error::Compacted { .. }) => "compacted".into(),
            Err(_) => "unavailable".into(),
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> String {
        let mut changes = match self.store.watch(prefix, after).await {
            Ok(changes) => changes,
            Err(Error::Compacted { .. }) => return "compacted".into(),
            Err(error) => panic!("{prefix}: {error}"),
        };
        let said: Vec<_> = ready(&mut *changes).await.iter().map(|change| self.say_change(change)).collect();
        said.join(" ")
    }

    fn say_change(&self, change: &Change) -> String {
        let sign = match change {
            Change::Put { now, was } => {
                check_value(now);
                if was.is_some() { '~' } else { '+' }
            }
            Change::Delete { was, .. } => {
                check_value(was);
                '-'
            }
        };
        format!("{sign}{}@{}", history::key(change), self.say(history::revision(change)))
    }

    fn revision(&self, said: &str) -> Revision {
        Revision(self.base + said.parse::<u64>().expect("a number"))
    }

    fn say(&self, revision: Revision) -> String {
        revision
            .0
            .checked_sub(self.base)
            .filter(|relative| *relative > 0 || revision.0 > 0)
            .map_or("none".into(), |relative| relative.to_string())
    }
}

/// An object named after its key, with a hole for its revision.
pub fn value(key: &str) -> Bytes {
    format!(r#"{{"kind":"Thing","metadata":{{"resourceVersion":"","name":"{key}"}}}}"#).into()
}

/// A stored value carries its own key and revision.
fn check_value(found: &Versioned) {
    let want = format!(r#"{{"kind":"Thing","metadata":{{"resourceVersion":"{}","name":"{}"}}}}"#, found.revision, found.key);
    assert_eq!(found.value, want.as_bytes());
}

/// The changes that are there already. What was written before the watch began is there at the first poll.
async fn ready(changes: &mut dyn Changes) -> Vec<Change> {
    let mut all = vec![];
    loop {
        let next = std::pin::pin!(changes.next());
        match poll_once(next).await {
            Some(more) => all.extend(more.expect("the watch goes on")),
            None => return all,
        }
    }
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
