//! What a view is: a small struct of the fields that loops read, which reads itself out of an object's JSON and skips the rest.
use knarr_machinery::{GroupResource, Meta};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A slim, typed look at one kind of object. There is one view per kind, shared by all loops: a field enters it when a loop reads it.
/// `Default` is what stands in for an object whose bytes the view cannot read, which is a bug and logged as one.
pub trait View: DeserializeOwned + Default + Send + Sync + 'static {
    const GROUP: &'static str;
    const PLURAL: &'static str;

    fn meta(&self) -> &Meta;

    /// Takes the shelf's own copy of the metadata in place of the one that was just read, so that it is kept once.
    fn share(&mut self, meta: &Arc<Meta>);

    fn resource() -> GroupResource {
        GroupResource::new(Self::GROUP, Self::PLURAL)
    }
}

/// Makes a struct with `metadata: Arc<Meta>` the view of a collection.
macro_rules! view {
    ($name:ty, $group:literal, $plural:literal) => {
        impl $crate::View for $name {
            const GROUP: &'static str = $group;
            const PLURAL: &'static str = $plural;
            fn meta(&self) -> &knarr_machinery::Meta {
                &self.metadata
            }
            fn share(&mut self, meta: &std::sync::Arc<knarr_machinery::Meta>) {
                self.metadata = std::sync::Arc::clone(meta);
            }
        }
    };
}
pub(crate) use view;
