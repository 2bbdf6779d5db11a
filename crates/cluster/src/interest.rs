//! What an agent asks to see beside its own pods: single ConfigMaps and Secrets, for as long as a pod needs them.
use knarr_machinery::{GroupResource, Key};
use tokio::sync::watch;

/// Brings single objects onto the shelf. In the server's process everything is there already.
pub trait Interest: Send + Sync {
    /// From now on, and for as long as the answer lives, the object is kept on the shelf as it is in the cluster. Several wishes for one
    /// object share one watch. Does not wait: `Wanted::known` does.
    fn want(&self, resource: &GroupResource, key: &Key) -> Wanted;
}

/// Dropping it ends the wish.
#[must_use = "the wish ends when this is dropped"]
pub struct Wanted {
    /// Becomes true with the first look at the cluster; none where there is nothing to wait for.
    is_known: Option<watch::Receiver<bool>>,
    _guard: Option<Box<dyn Send + Sync>>,
}

impl Wanted {
    /// A wish whose end is the end of `guard`, and whose object was looked at when `is_known` says so.
    pub fn until_dropped(guard: impl Send + Sync + 'static, is_known: watch::Receiver<bool>) -> Self {
        Self { is_known: Some(is_known), _guard: Some(Box::new(guard)) }
    }

    /// Waits until the shelf shows the object as it is, or that there is none. Waits for ever for a server that is away: the caller bounds
    /// it.
    pub async fn known(&self) {
        if let Some(is_known) = &self.is_known {
            // A sender that is gone without a word was stopped with the process.
            let _ = is_known.clone().wait_for(|known| *known).await;
        }
    }

    /// The same without waiting.
    pub fn is_known(&self) -> bool {
        self.is_known.as_ref().is_none_or(|known| *known.borrow())
    }
}

/// The interest of who shares the server's shelf: everything is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everything;

impl Interest for Everything {
    fn want(&self, _resource: &GroupResource, _key: &Key) -> Wanted {
        Wanted { is_known: None, _guard: None }
    }
}
