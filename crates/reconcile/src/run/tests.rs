use super::*;
use crate::{Action, Object, Plan, fake};
use jiff::Timestamp;
use knarr_cluster::{View, views::ConfigMap};
use knarr_machinery::{Key, Status};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Makes as many children of a ConfigMap as its data says, and takes surplus ones away.
struct Copies {
    passes: Arc<AtomicUsize>,
    /// The first pass over anything panics.
    panics: bool,
}

struct Look {
    parent: Arc<ConfigMap>,
    children: Vec<Arc<ConfigMap>>,
}

impl Controller for Copies {
    const NAME: &'static str = "copies";
    type Key = Key;
    type Look = Look;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::itself::<ConfigMap>(), Source::owner::<ConfigMap>("ConfigMap")]
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let parent = shelf.view::<ConfigMap>(key).filter(|map| map.data.contains_key("copies"))?;
        Some(Look { children: shelf.owned_by(&parent.metadata.uid), parent })
    }

    fn reconcile(&self, look: &Look, _now: Timestamp) -> Plan {
        assert!(self.passes.fetch_add(1, Ordering::SeqCst) > 0 || !self.panics, "as asked for");
        let want: usize = look.parent.data["copies"].parse().expect("a number");
        let meta = &look.parent.metadata;
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": meta.name, "uid": meta.uid, "controller": true});
        let child = json!({"metadata": {"namespace": meta.namespace, "generateName": "copy-", "ownerReferences": [owner]}});
        let missing = want.saturating_sub(look.children.len());
        let create = Action::Create { resource: ConfigMap::resource(), object: child, say: None };
        let surplus = look.children.iter().skip(want).map(|child| Action::delete(Object::of(&**child)));
        Plan::nothing().extend(vec![create; missing]).extend(surplus)
    }
}

/// Runs it over one parent until nothing moves any more, and says how many children there are and how many passes it took.
async fn settle(cluster: Cluster, copies: &str, panics: bool) -> (usize, usize) {
    let passes = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    fake::create(&cluster, &ConfigMap::resource(), &parent(copies)).await;
    let copies = Copies { passes: Arc::clone(&passes), panics };
    let running = tokio::spawn(run(copies, cluster.clone(), Identity::controller("copies"), stop.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    stop.cancel();
    running.await.expect("it ends when told");
    (cluster.shelf.views::<ConfigMap>(None).len() - 1, passes.load(Ordering::SeqCst))
}

fn parent(copies: &str) -> Value {
    json!({"metadata": {"name": "parent", "namespace": "one"}, "data": {"copies": copies}})
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_made_once() {
    let (children, passes) = settle(fake::cluster(Timestamp::UNIX_EPOCH), "300", false).await;
    assert_eq!(children, 300);
    assert!(passes <= 3, "one to act, and one or two to see that all is well: {passes}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_tried_again() {
    let tries = AtomicUsize::new(0);
    let cluster = fake::refusing(Timestamp::UNIX_EPOCH, move |write| {
        let is_child = write.target.key.name.is_empty();
        (is_child && tries.fetch_add(1, Ordering::SeqCst) < 40).then(|| Status::forbidden(&ConfigMap::resource(), "", "not yet"))
    });
    assert_eq!(settle(cluster, "20", false).await.0, 20);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_is_replaced_and_its_key_comes_again() {
    assert_eq!(settle(fake::cluster(Timestamp::UNIX_EPOCH), "2", true).await.0, 2);
}
