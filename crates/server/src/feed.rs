//! The feed: what the store writes comes onto the shelf, in order.
use knarr_cluster::{Change, Shelf, Step};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key, Revision};
use knarr_store::{Change as Stored, Changes, Error, Page, Store};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Everything that is an object.
const ROOT: &str = "/registry/";
/// Between tries when the store does not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub struct Feed {
    store: Arc<dyn Store>,
    shelf: Arc<Shelf>,
    /// The collections by the prefix under which the store keeps them.
    collections: BTreeMap<String, GroupResource>,
    changes: Box<dyn Changes>,
}

impl Feed {
    /// Loads the shelf and begins to watch where that ends.
    pub async fn open(store: Arc<dyn Store>, shelf: Arc<Shelf>, kinds: &Table) -> Result<Self, Error> {
        let resources = kinds.rows().iter().filter(|row| !row.ephemeral).map(|row| row.storage());
        let collections: BTreeMap<_, _> = resources.map(|resource| (resource.prefix(), resource)).collect();
        let mut from: Option<Revision> = None;
        for (prefix, resource) in &collections {
            let (objects, revision) = store.list(prefix, Page::default()).await?;
            let changed = store.last_change(prefix).await?;
            shelf.load(
                resource,
                revision,
                changed.min(revision),
                objects.into_iter().map(|object| (object.revision, object.value)).collect(),
            );
            // What expires while this goes on is seen again by the watch, which begins at the earliest of these lists.
            from = Some(from.map_or(revision, |from| from.min(revision)));
        }
        let changes = store.watch(ROOT, from.unwrap_or_default()).await?;
        Ok(Self { store, shelf, collections, changes })
    }

    /// Goes on until the store closes. For a task of its own.
    pub async fn run(mut self) {
        loop {
            match self.changes.next().await {
                Ok(changes) => self.shelf.apply(changes.into_iter().filter_map(|change| self.step(change)).collect()),
                Err(Error::Compacted { .. }) => self.begin_again().await,
                Err(error) => {
                    tracing::debug!(%error, "the store has closed");
                    return;
                }
            }
        }
    }

    fn step(&self, change: Stored) -> Option<Step> {
        let (path, revision, change) = match change {
            Stored::Put { now, .. } => (now.key, now.revision, Some(now.value)),
            Stored::Delete { at, was } => (was.key, at, None),
        };
        let (resource, key) = self.place(&path)?;
        let change = change.map_or(Change::Delete(key), Change::Put);
        Some(Step { resource, revision, change })
    }

    /// `/registry/GROUP/PLURAL/[NAMESPACE/]NAME`.
    fn place(&self, path: &str) -> Option<(GroupResource, Key)> {
        let end = path.match_indices('/').nth(3)?.0 + 1;
        let resource = self.collections.get(&path[..end])?;
        let (namespace, name) = path[end..].split_once('/').unwrap_or(("", &path[end..]));
        Some((resource.clone(), Key::new(namespace, name)))
    }

    /// The store forgot what this feed has not seen: takes everything anew.
    async fn begin_again(&mut self) {
        tracing::warn!("the feed fell behind the store's history and lists anew");
        loop {
            match self.list_anew().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, "the store does not list");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn list_anew(&mut self) -> Result<(), Error> {
        let mut from: Option<Revision> = None;
        for (prefix, resource) in &self.collections {
            let (objects, revision) = self.store.list(prefix, Page::default()).await?;
            self.shelf.replace(resource, revision, objects.into_iter().map(|object| (object.revision, object.value)).collect());
            from = Some(from.map_or(revision, |from| from.min(revision)));
        }
        self.changes = self.store.watch(ROOT, from.unwrap_or_default()).await?;
        Ok(())
    }
}
