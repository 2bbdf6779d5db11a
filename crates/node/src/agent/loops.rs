//! The loops of an agent: each waits for one kind of news and wakes the pods that it concerns.
use super::{Shared, remains};
use crate::{
    memory::Look,
    prober,
    slots::{Report, Wake},
    timers::Ring,
    waiting::Kind,
};
use knarr_cluster::{Entry, Seen, View, views};
use knarr_machinery::Revision;
use knarr_runtime::Observed;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A runtime that could not be looked at is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two looks, however long one takes.
const LONGEST_REST: Duration = Duration::from_millis(100);

pub(super) type Found = HashMap<String, Vec<Observed>>;

/// Adopts what runs, and then follows the API and the runtime.
pub(super) async fn pods(shared: &Arc<Shared>) {
    // Before the first list there is no telling an orphan from a pod that is not known yet.
    shared.cluster.shelf.reached(&views::Pod::resource(), Revision(1)).await;
    let (look, found) = look(shared).await;
    let watching = watch_pods(shared, look, found);
    tokio::join!(watching, observe(shared));
}

async fn watch_pods(shared: &Arc<Shared>, look: Look, mut found: Found) {
    let resource = views::Pod::resource();
    let mut is_first = true;
    loop {
        let (entries, revision) = shared.cluster.shelf.list(&resource, None);
        let mine: HashMap<_, _> = entries.iter().filter(|entry| is_mine(shared, entry)).map(|entry| (&*entry.meta.uid, entry)).collect();
        for known in shared.slots.entries() {
            if !mine.contains_key(&*known.meta.uid) {
                gone(shared, &known);
            }
        }
        for entry in mine.values() {
            put(shared, entry, found.remove(&*entry.meta.uid).unwrap_or_default(), look);
        }
        if std::mem::take(&mut is_first) {
            remains::clean(shared, std::mem::take(&mut found)).await;
        }
        let Ok(mut watch) = shared.cluster.shelf.watch(&resource, revision) else { continue };
        // Falling behind the shelf's ring is cured by listing again.
        while let Ok(changes) = watch.next().await {
            for Seen { now, was, .. } in changes {
                pod_changed(shared, now.as_ref(), was.as_ref(), look);
            }
        }
    }
}

fn pod_changed(shared: &Arc<Shared>, now: Option<&Arc<Entry>>, was: Option<&Arc<Entry>>, look: Look) {
    let now = now.filter(|entry| is_mine(shared, entry));
    if let Some(was) = was.filter(|was| now.is_none_or(|now| now.meta.uid != was.meta.uid)) {
        gone(shared, was);
    }
    if let Some(now) = now {
        put(shared, now, vec![], look);
    }
}

fn is_mine(shared: &Shared, entry: &Arc<Entry>) -> bool {
    entry.view::<views::Pod>().spec.node_name.as_deref() == Some(shared.config.node_name.as_str())
}

fn put(shared: &Arc<Shared>, entry: &Arc<Entry>, found: Vec<Observed>, look: Look) {
    let (uid, wake) = shared.slots.put(entry, found, look);
    shared.act(&uid, wake);
}

fn gone(shared: &Arc<Shared>, entry: &Entry) {
    let uid: Arc<str> = Arc::from(&*entry.meta.uid);
    if let Some(wake) = shared.slots.gone(&uid) {
        shared.act(&uid, wake);
    }
}

/// Looks at the runtime whenever something may have changed there, or somebody asks. Changes alone never keep it busy more than half of
/// the time: with ten thousand containers a look costs milliseconds.
async fn observe(shared: &Arc<Shared>) {
    let mut is_asked = false;
    loop {
        if !is_asked {
            tokio::select! {
                () = shared.runtime.changed() => {}
                () = shared.observer.asked() => {}
            }
        }
        let began = Instant::now();
        let (number, found) = look(shared).await;
        let (to_start, unknown) = shared.slots.seen(number, found);
        for uid in to_start {
            shared.act(&uid, Wake::Start);
        }
        shared.observer.end(number);
        if !unknown.is_empty() {
            let shared = Arc::clone(shared);
            shared.clone().spawn(async move { remains::stop(&shared, unknown).await });
        }
        is_asked = tokio::select! {
            () = shared.observer.asked() => true,
            () = tokio::time::sleep(began.elapsed().min(LONGEST_REST)) => false,
        };
    }
}

async fn look(shared: &Shared) -> (Look, Found) {
    loop {
        let number = shared.observer.begin();
        match shared.runtime.observe().await {
            Ok(all) => {
                let mut found = Found::new();
                for one in all {
                    found.entry(one.pod_uid.clone()).or_default().push(one);
                }
                return (number, found);
            }
            Err(error) => tracing::warn!(%error, "the runtime cannot be looked at"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Wakes pods whose time has come, and makes probes.
pub(super) async fn timers(shared: &Arc<Shared>) {
    let slots = shared.prober.slots();
    loop {
        match shared.timers.next().await {
            Ring::Pod(uid) => {
                if let Some(wake) = shared.slots.rang(&uid) {
                    shared.act(&uid, wake);
                }
            }
            Ring::Probe { uid, id } => {
                let Some(turn) = shared.prober.turn(&uid, id) else { continue };
                let shared = Arc::clone(shared);
                // Bounded by the number of probes: each has one timer, which is set again when it was answered.
                let slots = Arc::clone(&slots);
                shared.clone().spawn(async move {
                    let _slot = slots.acquire().await.expect("never closed");
                    probe(&shared, &turn).await;
                });
            }
        }
    }
}

async fn probe(shared: &Arc<Shared>, turn: &prober::Turn) {
    let (due, began) = (&turn.due, Instant::now());
    let outcome = prober::ask(&*shared.network, &due.target, due.timeout).await;
    // A probe that is not wanted any more said nothing.
    if shared.prober.turn(&turn.uid, turn.id).is_none() {
        return;
    }
    if let crate::probe::Outcome::Failure(why) = &outcome {
        shared.unhealthy(turn, why);
    }
    let Some(verdict) = shared.prober.answer(turn, &outcome, began, &shared.timers) else { return };
    let report = Report::Probed { container: due.container, attempt: due.attempt, kind: due.kind, verdict };
    if let Some(wake) = shared.slots.tell(&turn.uid, report) {
        shared.act(&turn.uid, wake);
    }
}

impl Shared {
    fn unhealthy(&self, turn: &prober::Turn, why: &str) {
        let Some(entry) = self.slots.entry(&turn.uid) else { return };
        let Ok(pod) = crate::pod::Pod::read(&entry.bytes) else { return };
        let message = format!("{} probe failed: {why}", turn.due.kind.name());
        self.teller.warn(&pod, Some(turn.due.container), "Unhealthy", message);
    }
}

/// Wakes pods that wait for a ConfigMap or a Secret.
pub(super) async fn config(shared: &Arc<Shared>) {
    tokio::join!(follow::<views::ConfigMap>(shared, Kind::ConfigMap), follow::<views::Secret>(shared, Kind::Secret));
}

async fn follow<V: View>(shared: &Arc<Shared>, kind: Kind) {
    let (shelf, resource) = (&shared.cluster.shelf, V::resource());
    loop {
        let Ok(mut watch) = shelf.watch(&resource, shelf.known(&resource)) else { continue };
        while let Ok(changes) = watch.next().await {
            for entry in changes.iter().filter_map(|seen| seen.now.as_ref()) {
                for uid in shared.waiting.take(kind, entry.key.to_string()) {
                    if let Some(wake) = shared.slots.tell(&uid, Report::ConfigChanged) {
                        shared.act(&uid, wake);
                    }
                }
            }
        }
    }
}
