//! Images without a registry: every name is here at once, unless something is said of it.
use knarr_image::{PullError, PullPolicy, Pulled};
use knarr_machinery::Pending;
use knarr_node::ImageSource;
use std::{collections::BTreeMap, sync::Mutex};

#[derive(Default)]
pub struct FakeImages {
    broken: Mutex<BTreeMap<String, PullError>>,
}

impl FakeImages {
    /// From now on the image cannot be had, or can be had again.
    pub fn set(&self, name: &str, error: Option<PullError>) {
        let mut broken = self.broken.lock().expect("no panic while held");
        match error {
            Some(error) => broken.insert(name.to_owned(), error),
            None => broken.remove(name),
        };
    }
}

/// The digest of an image's Wasm, by which the runtime's scripts are found.
pub fn digest(name: &str) -> String {
    format!("sha256:{name}")
}

/// The image that a digest is of.
pub fn name(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

impl ImageSource for FakeImages {
    fn ensure<'a>(&'a self, name: &'a str, _policy: PullPolicy) -> Pending<'a, Result<Pulled, PullError>> {
        let broken = self.broken.lock().expect("no panic while held").get(name).cloned();
        let (digest, wasm_digest) = (digest(name), digest(name));
        // There is no file: what a guest can do is left open, so it is served.
        let pulled = Pulled { name: format!("registry/{name}"), digest, wasm_digest, path: "/nowhere".into(), size_bytes: 8, fresh: false };
        Box::pin(async move { broken.map_or(Ok(pulled), Err) })
    }
}
