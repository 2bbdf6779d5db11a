use super::*;
use serde_json::json;

fn pods() -> GroupResource {
    views::Pod::resource()
}

fn pod(name: &str, revision: u64, owner: &str, node: &str) -> Bytes {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let owners = if owner.is_empty() { json!([]) } else { json!([{"uid": owner, "controller": true, "name": "o", "kind": "ReplicaSet"}]) };
    let metadata = json!({"namespace": namespace, "name": name, "resourceVersion": revision.to_string(), "ownerReferences": owners});
    let spec = if node.is_empty() { json!({}) } else { json!({"nodeName": node}) };
    serde_json::to_vec(&json!({"metadata": metadata, "spec": spec})).unwrap().into()
}

/// Runs a script of one feed: `+name@owner:node` puts, `-name` deletes; each takes the next revision.
fn feed(shelf: &Shelf, script: &str) {
    for word in script.split_whitespace() {
        let revision = Revision(shelf.revision().0 + 1);
        match word.split_at(1) {
            ("+", rest) => {
                let (rest, node) = rest.split_once(':').unwrap_or((rest, ""));
                let (name, owner) = rest.split_once('@').unwrap_or((rest, ""));
                shelf.put(&pods(), revision, pod(name, revision.0, owner, node));
            }
            (_, name) => {
                let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
                shelf.delete(&pods(), revision, &Key::new(namespace, name));
            }
        }
    }
}

/// A change in a word: `+a@1` came, `~a@2` changed, `-a@3` went.
fn say(seen: &[Seen]) -> String {
    let word = |seen: &Seen| {
        let (sign, entry) = match (&seen.now, &seen.was) {
            (Some(now), None) => ('+', now),
            (Some(now), Some(_)) => ('~', now),
            (None, Some(was)) => ('-', was),
            (None, None) => unreachable!("a change has a side"),
        };
        format!("{sign}{}@{}", entry.key.name, seen.revision)
    };
    seen.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn names<V: View>(views: &[Arc<V>]) -> String {
    views.iter().map(|view| &*view.meta().name).collect::<Vec<_>>().join(" ")
}

#[test]
fn lists_in_order_with_the_revision_shown() {
    let check = |script: &str, namespace: Option<&str>, want: &str| {
        let shelf = Shelf::new();
        feed(&shelf, script);
        let (entries, revision) = shelf.list(&pods(), namespace);
        let list: Vec<_> = entries.iter().map(|entry| entry.key.to_string()).collect();
        assert_eq!(format!("{}@{revision}", list.join(" ")), want, "{script}");
    };
    check("", None, "@0");
    check("+b +a", None, "default/a default/b@2");
    check("+b +a -b", None, "default/a@3");
    check("+x/b +x-y/a +y/a", None, "x-y/a x/b y/a@3");
    check("+x/b +x-y/a +x/a +y/a", Some("x"), "x/a x/b@4");
    check("+x/b", Some("y"), "@1");
}

#[test]
fn indexes_follow_every_change() {
    let check = |script: &str, owned: &str, on_node: &str| {
        let shelf = Shelf::new();
        feed(&shelf, script);
        assert_eq!(
            (names(&shelf.owned_by::<views::Pod>("rs")).as_str(), names(&shelf.pods_on("n")).as_str()),
            (owned, on_node),
            "{script}"
        );
    };
    check("+a@rs:n +b@rs +c:n", "a b", "a c");
    check("+a@rs +a@rs:n", "a", "a");
    check("+a@rs:n +a@other:m", "", "");
    check("+a@rs:n +b@rs:n -a", "b", "b");
    check("+a@rs:n -a +a", "", "");
}

#[tokio::test]
async fn a_list_and_a_watch_after_it_see_every_change_once() {
    for cut in 0..=6 {
        let script: Vec<_> = "+a +b +a -b +b -a".split_whitespace().collect();
        let shelf = Shelf::new();
        feed(&shelf, &script[..cut].join(" "));
        let (listed, revision) = shelf.list(&pods(), None);
        let mut replayed: BTreeSet<_> = listed.iter().map(|entry| (entry.key.clone(), entry.revision)).collect();
        let mut watch = shelf.watch(&pods(), revision).unwrap();
        feed(&shelf, &script[cut..].join(" "));
        let mut count = 0;
        while count < 6 - cut {
            for seen in watch.next().await.unwrap() {
                count += 1;
                assert_eq!(seen.revision, Revision((cut + count) as u64));
                if let Some(was) = &seen.was {
                    assert!(replayed.remove(&(was.key.clone(), was.revision)), "the state before was the one seen");
                }
                replayed.extend(seen.now.iter().map(|now| (now.key.clone(), now.revision)));
            }
        }
        assert!(watch.ready().unwrap().is_empty(), "and nothing twice");
        let now: BTreeSet<_> = shelf.list(&pods(), None).0.iter().map(|entry| (entry.key.clone(), entry.revision)).collect();
        assert_eq!(replayed, now);
    }
}

#[test]
fn watches_from_any_revision_that_is_kept() {
    let check = |script: &str, after: u64, want: &str| {
        let shelf = Shelf::new();
        feed(&shelf, script);
        assert_eq!(say(&shelf.watch(&pods(), Revision(after)).unwrap().ready().unwrap()), want, "{script} after {after}");
    };
    check("+a +b +a -b", 0, "+a@1 +b@2 ~a@3 -b@4");
    check("+a +b +a -b", 2, "~a@3 -b@4");
    check("+a +b +a -b", 4, "");
    check("+a +b", 99, "");
    check("-a +b", 0, "+b@2");
}

#[tokio::test]
async fn a_watch_from_the_future_begins_there() {
    let shelf = Shelf::new();
    let mut watch = shelf.watch(&pods(), Revision(2)).unwrap();
    feed(&shelf, "+a +b +c");
    assert_eq!(say(&watch.next().await.unwrap()), "+c@3");
}

#[tokio::test]
async fn a_watcher_behind_the_ring_is_expired_and_one_at_its_edge_is_not() {
    let shelf = Shelf::new();
    let mut slow = shelf.watch(&pods(), Revision(0)).unwrap();
    let big = "x".repeat(64 << 10);
    for revision in 1..=1000 {
        let body = json!({"metadata": {"namespace": "default", "name": "a", "annotations": {"big": big}}});
        shelf.put(&pods(), Revision(revision), serde_json::to_vec(&body).unwrap().into());
    }
    let Expired { oldest } = slow.next().await.unwrap_err();
    assert!(shelf.size(&pods()).ring_bytes <= 8 << 20);
    assert_eq!(shelf.watch(&pods(), Revision(oldest.0 - 1)).err(), Some(Expired { oldest }));
    let kept = shelf.watch(&pods(), oldest).unwrap().ready().unwrap();
    assert_eq!((kept[0].revision.0, kept.len() as u64), (oldest.0 + 1, 1000 - oldest.0));
}

#[tokio::test(start_paused = true)]
async fn changes_are_forgotten_after_their_time() {
    let shelf = Shelf::new();
    feed(&shelf, "+a +b");
    tokio::time::advance(std::time::Duration::from_secs(301)).await;
    feed(&shelf, "+c");
    assert_eq!(shelf.watch(&pods(), Revision(1)).err(), Some(Expired { oldest: Revision(2) }));
    assert_eq!(say(&shelf.watch(&pods(), Revision(2)).unwrap().ready().unwrap()), "+c@3");
}

#[test]
fn a_relist_tells_the_difference() {
    let shelf = Shelf::remote();
    for (name, revision) in [("a", 1), ("b", 2), ("c", 3)] {
        shelf.put(&pods(), Revision(revision), pod(name, revision, "", ""));
    }
    let mut watch = shelf.watch(&pods(), Revision(3)).unwrap();
    let list = [("a", 1), ("c", 7), ("d", 5)];
    shelf.replace(&pods(), Revision(9), list.map(|(name, revision)| (Revision(revision), pod(name, revision, "", ""))).into());
    assert_eq!(say(&watch.ready().unwrap()), "-b@9 ~c@9 +d@9");
    assert_eq!(shelf.known(&pods()), Revision(9));
    assert_eq!(say(&shelf.watch(&pods(), Revision(8)).unwrap().ready().unwrap()), "-b@9 ~c@9 +d@9");
}

#[test]
fn what_was_loaded_at_the_start_is_no_change() {
    let shelf = Shelf::new();
    shelf.load(&pods(), Revision(9), Revision(5), vec![(Revision(3), pod("a", 3, "rs", "n"))]);
    assert_eq!(shelf.watch(&pods(), Revision(4)).err(), Some(Expired { oldest: Revision(5) }));
    assert!(shelf.watch(&pods(), Revision(5)).unwrap().ready().unwrap().is_empty());
    assert_eq!((shelf.list(&pods(), None).1, names(&shelf.pods_on("n"))), (Revision(9), "a".to_owned()));
}

#[test]
fn an_older_state_never_replaces_a_newer_one() {
    let shelf = Shelf::remote();
    shelf.put(&pods(), Revision(5), pod("a", 5, "", "new"));
    shelf.put(&pods(), Revision(4), pod("a", 4, "", "old"));
    assert_eq!((names(&shelf.pods_on("new")), names(&shelf.pods_on("old"))), ("a".to_owned(), String::new()));
}

#[tokio::test]
async fn reached_waits_for_the_collection_where_feeds_are_many_and_for_any_where_it_is_one() {
    let nodes = views::Node::resource();
    for (shelf, counts) in [(Shelf::new(), true), (Shelf::remote(), false)] {
        feed(&shelf, "+a");
        let early = tokio::time::timeout(std::time::Duration::ZERO, shelf.reached(&nodes, Revision(1))).await;
        assert_eq!(early.is_ok(), counts);
        let waiting = tokio::spawn({
            let (shelf, nodes) = (Arc::clone(&shelf), nodes.clone());
            async move { shelf.reached(&nodes, Revision(2)).await }
        });
        shelf.advance(&nodes, Revision(2));
        waiting.await.unwrap();
    }
}

#[tokio::test]
async fn a_watcher_is_woken_by_what_it_waits_for() {
    let shelf = Shelf::new();
    let mut watch = shelf.watch(&pods(), Revision(0)).unwrap();
    let woken = tokio::spawn(async move { say(&watch.next().await.unwrap()) });
    tokio::task::yield_now().await;
    shelf.advance(&pods(), Revision(1));
    tokio::task::yield_now().await;
    feed(&shelf, "+a");
    assert_eq!(woken.await.unwrap(), "+a@2");
}

#[test]
fn bytes_that_are_no_object_pass_without_a_trace() {
    let shelf = Shelf::new();
    shelf.put(&pods(), Revision(1), Bytes::from_static(b"{"));
    assert_eq!((shelf.revision(), shelf.list(&pods(), None).0.len()), (Revision(1), 0));
}

#[test]
fn a_view_is_decoded_once_and_shares_the_metadata() {
    let shelf = Shelf::new();
    feed(&shelf, "+a");
    let entry = shelf.get(&pods(), &Key::new("default", "a")).unwrap();
    let (one, two) = (entry.view::<views::Pod>(), shelf.view::<views::Pod>(&entry.key).unwrap());
    assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one.metadata, &entry.meta));
}

#[test]
fn a_list_is_believed_even_when_the_server_went_back_in_time() {
    let shelf = Shelf::remote();
    shelf.put(&pods(), Revision(9), pod("a", 9, "", "new"));
    shelf.replace(&pods(), Revision(4), vec![(Revision(3), pod("a", 3, "", "old"))]);
    assert_eq!((names(&shelf.pods_on("new")), names(&shelf.pods_on("old"))), (String::new(), "a".to_owned()));
}

#[test]
fn a_late_feed_of_one_object_is_seen_by_who_listed_before_it() {
    let shelf = Shelf::remote();
    shelf.put(&pods(), Revision(9), pod("a", 9, "", ""));
    let (_, listed) = shelf.list(&pods(), None);
    shelf.replace_one(&pods(), Revision(5), &Key::new("default", "b"), Some((Revision(4), pod("b", 4, "", ""))));
    assert_eq!(say(&shelf.watch(&pods(), listed).unwrap().ready().unwrap()), "+b@10");
}
