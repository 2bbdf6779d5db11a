//! Where a loop's keys come from: a collection, and which keys a changed object of it concerns.
use knarr_cluster::{Entry, Shelf, View};
use knarr_machinery::{GroupResource, Key};
use std::sync::Arc;

type Keys<K> = Arc<dyn Fn(&Shelf, Change<'_>) -> Vec<K> + Send + Sync>;

pub struct Source<K> {
    pub resource: GroupResource,
    keys: Keys<K>,
}

/// An object as it is now and as it was; one of both is there. At a start everything has just come.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    pub now: Option<&'a Arc<Entry>>,
    pub was: Option<&'a Arc<Entry>>,
}

impl<'a> Change<'a> {
    /// Both states, as far as there are two.
    pub fn states(self) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.now.into_iter().chain(self.was)
    }

    /// The object itself, as it was last.
    pub fn object(self) -> &'a Arc<Entry> {
        self.now.or(self.was).expect("a change is of something")
    }

    pub fn is_gone(self) -> bool {
        self.now.is_none()
    }
}

impl<K> Source<K> {
    /// Maps a change to keys by a function that only looks up.
    pub fn by(resource: GroupResource, keys: impl Fn(&Shelf, Change<'_>) -> Vec<K> + Send + Sync + 'static) -> Self {
        Self { resource, keys: Arc::new(keys) }
    }

    pub(crate) fn keys(&self, shelf: &Shelf, change: Change<'_>) -> Vec<K> {
        (self.keys)(shelf, change)
    }
}

impl Source<Key> {
    /// Every object is a key.
    pub fn itself<V: View>() -> Self {
        Self::by(V::resource(), |_, change| vec![change.object().key.clone()])
    }

    /// The key is the object's controlling owner, if that is of this kind: the one it has and the one it had.
    pub fn owner<V: View>(kind: &'static str) -> Self {
        Self::by(V::resource(), move |_, change| change.states().filter_map(|entry| owner(entry, kind)).collect())
    }
}

/// The key of an object's controlling owner of a kind in the same namespace.
pub fn owner(entry: &Entry, kind: &str) -> Option<Key> {
    let owner = entry.meta.controller().filter(|owner| *owner.kind == *kind)?;
    Some(Key { namespace: entry.key.namespace.clone(), name: owner.name.clone() })
}
