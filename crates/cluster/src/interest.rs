//! What an agent asks to see beside its own pods: single ConfigMaps and Secrets, for as long as a pod needs them.
use knarr_machinery::{GroupResource, Key};

/// Brings single objects onto the shelf. In the server's process everything is there already.
pub trait Interest: Send + Sync {
    /// From now on, and for as long as the answer lives, the object is kept on the shelf as it is in the cluster. Several wishes for one
    /// object share one watch. Does not wait: who needs it waits for the shelf.
    fn want(&self, resource: &GroupResource, key: &Key) -> Wanted;
}

/// Dropping it ends the wish.
#[must_use = "the wish ends when this is dropped"]
pub struct Wanted(#[expect(dead_code, reason = "kept for its Drop")] Option<Box<dyn Send + Sync>>);

impl Wanted {
    /// A wish whose end is the end of `guard`.
    pub fn until_dropped(guard: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }
}

/// The interest of who shares the server's shelf: everything is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everything;

impl Interest for Everything {
    fn want(&self, _resource: &GroupResource, _key: &Key) -> Wanted {
        Wanted(None)
    }
}
