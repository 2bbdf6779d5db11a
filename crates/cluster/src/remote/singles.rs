//! Watches of single objects, shared by all who want them: the ConfigMaps and Secrets of a node's pods.
use super::{
    door::version_of,
    feed::Feed,
    request::{Part, Source},
};
use crate::{Interest, Shelf, Wanted};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

type Name = (GroupResource, Key);

/// Brings single objects to a remote shelf for as long as somebody wants them. Its bound is the number of objects that a node's pods name.
pub struct Singles(Arc<Inner>);

struct Inner {
    client: kube::Client,
    shelf: Arc<Shelf>,
    kinds: Table,
    wishes: Mutex<Wishes>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Wishes {
    by_name: HashMap<Name, (u64, Weak<Wish>)>,
    /// Tells a wish from an earlier one for the same object, whose feed may still be ending.
    last: u64,
}

/// Lives as long as somebody wants the object. Its end ends the feed, which then takes the object off the shelf.
struct Wish {
    listed: watch::Receiver<bool>,
    _end: DropGuard,
}

impl Singles {
    /// All feeds end with `stop`.
    pub fn new(client: kube::Client, shelf: Arc<Shelf>, kinds: Table, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { client, shelf, kinds, wishes: Mutex::default(), stop }))
    }
}

impl Interest for Singles {
    fn want(&self, resource: &GroupResource, key: &Key) -> Wanted {
        let name = (resource.clone(), key.clone());
        let mut wishes = self.0.wishes();
        let wish = match wishes.by_name.get(&name).and_then(|(_, wish)| wish.upgrade()) {
            Some(wish) => wish,
            None => self.0.begin(&mut wishes, name),
        };
        let listed = wish.listed.clone();
        Wanted::until_dropped(wish, listed)
    }
}

impl Inner {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>, wishes: &mut Wishes, name: Name) -> Arc<Wish> {
        wishes.last += 1;
        let number = wishes.last;
        let stop = self.stop.child_token();
        let (listed, is_listed) = watch::channel(false);
        let wish = Arc::new(Wish { listed: is_listed, _end: stop.clone().drop_guard() });
        wishes.by_name.insert(name.clone(), (number, Arc::downgrade(&wish)));
        let source = Source { resource: name.0.clone(), version: version_of(&self.kinds, &name.0), part: Part::One(name.1.clone()) };
        let feed = Feed { client: self.client.clone(), shelf: Arc::clone(&self.shelf), source, listed };
        let inner = Arc::clone(self);
        // Not joined: the wish's token ends it, and with it all that it holds.
        tokio::spawn(async move {
            feed.run(stop).await;
            inner.end(number, &name);
        });
        wish
    }

    /// Takes an object off the shelf that nobody wants any more, unless it is wanted anew by now.
    fn end(&self, number: u64, name: &Name) {
        let mut wishes = self.wishes();
        if wishes.by_name.get(name).is_some_and(|(newest, _)| *newest == number) {
            wishes.by_name.remove(name);
            self.shelf.delete(&name.0, self.shelf.known(&name.0), &name.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{View, views::ConfigMap};
    use http::{Request, Response};
    use http_body_util::Full;
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    /// A server that has every ConfigMap asked for, and counts the lists.
    fn server() -> (kube::Client, Arc<AtomicUsize>) {
        let lists = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lists);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let count = if query.contains("watch=") { None } else { Some(counted.fetch_add(1, Ordering::SeqCst)) };
            async move {
                if count.is_none() {
                    return std::future::pending().await;
                }
                let body =
                    r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"namespace":"d","name":"a","resourceVersion":"3"}}]}"#;
                Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(body.as_bytes()))))
            }
        });
        (kube::Client::new(service, "default"), lists)
    }

    #[tokio::test]
    async fn an_object_is_there_for_as_long_as_somebody_wants_it() {
        let (client, lists) = server();
        let shelf = Shelf::remote();
        let singles = Singles::new(client, Arc::clone(&shelf), Table::new(vec![]), CancellationToken::new());
        let (resource, key) = (ConfigMap::resource(), Key::new("d", "a"));
        let first = singles.want(&resource, &key);
        first.known().await;
        let mut changes = shelf.watch(&resource, shelf.known(&resource)).unwrap();
        let second = singles.want(&resource, &key);
        second.known().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(shelf.get(&resource, &key).is_some());
        assert_eq!(lists.load(Ordering::SeqCst), 1, "both share one watch");
        drop(second);
        assert!(changes.next().await.unwrap()[0].now.is_none());
        let third = singles.want(&resource, &key);
        third.known().await;
        assert!(shelf.get(&resource, &key).is_some());
        assert_eq!(lists.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_wish_renewed_at_once_keeps_the_object() {
        let (client, _) = server();
        let shelf = Shelf::remote();
        let singles = Singles::new(client, Arc::clone(&shelf), Table::new(vec![]), CancellationToken::new());
        let (resource, key) = (ConfigMap::resource(), Key::new("d", "a"));
        let first = singles.want(&resource, &key);
        first.known().await;
        drop(first);
        let second = singles.want(&resource, &key);
        second.known().await;
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        assert!(shelf.get(&resource, &key).is_some());
    }
}
