//! Where the agent gets images from, and what it keeps of them: one record for all pods of an image.
use crate::memory::Here;
use knarr_image::{Images, PullError, PullPolicy, Pulled, World};
use knarr_machinery::Pending;
use knarr_runtime::Image;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

/// Brings an image onto this node.
pub trait ImageSource: Send + Sync {
    fn ensure<'a>(&'a self, name: &'a str, policy: PullPolicy) -> Pending<'a, Result<Pulled, PullError>>;
}

impl ImageSource for Images {
    fn ensure<'a>(&'a self, name: &'a str, policy: PullPolicy) -> Pending<'a, Result<Pulled, PullError>> {
        Box::pin(Images::ensure(self, name, policy))
    }
}

/// The images in use, by name and digest. What no pod uses any more is dropped with its last pod.
#[derive(Default)]
pub struct InUse(Mutex<HashMap<(String, String), Weak<Here>>>);

/// Names whose pods are gone are swept out once this many have gathered.
const SWEEP_AT: usize = 1024;

impl InUse {
    /// The record of an image that was just ensured. Reads the file the first time, to see what it can do.
    pub async fn share(&self, name: &str, pulled: Pulled) -> Arc<Here> {
        let key = (name.to_owned(), pulled.digest.clone());
        if let Some(here) = self.0.lock().expect("no panic while held").get(&key).and_then(Weak::upgrade) {
            return here;
        }
        let image_id: Arc<str> = image_id(&pulled).into();
        let image = Image { digest: pulled.wasm_digest, path: pulled.path };
        let path = image.path.clone();
        // What cannot be read here fails again, and with its reason, when it is prepared.
        let world = tokio::task::spawn_blocking(move || knarr_image::describe(&std::fs::read(path).ok()?).ok().map(|found| found.world));
        let world = world.await.ok().flatten().unwrap_or(World::Other);
        let here = Arc::new(Here { image_id, name: name.into(), image, world });
        let mut all = self.0.lock().expect("no panic while held");
        if all.len() >= SWEEP_AT {
            all.retain(|_, here| here.strong_count() > 0);
        }
        if let Some(first) = all.get(&key).and_then(Weak::upgrade) {
            return first;
        }
        all.insert(key, Arc::downgrade(&here));
        here
    }
}

/// `localhost:5000/web@sha256:...`: the name without its tag.
fn image_id(pulled: &Pulled) -> String {
    let name = pulled.name.split('@').next().unwrap_or_default();
    let folder = name.rfind('/').map_or(0, |at| at + 1);
    let repository = name[folder..].find(':').map_or(name, |colon| &name[..folder + colon]);
    format!("{repository}@{}", pulled.digest)
}

/// As the API spells it; empty: what Kubernetes takes for a name with and without a tag of its own.
pub fn policy(spelled: &str, image: &str) -> PullPolicy {
    match spelled {
        "Always" => PullPolicy::Always,
        "Never" => PullPolicy::Never,
        "IfNotPresent" => PullPolicy::IfNotPresent,
        _ => {
            let last = image.rsplit('/').next().unwrap_or(image);
            if image.contains('@') || last.contains(':') && !last.ends_with(":latest") {
                PullPolicy::IfNotPresent
            } else {
                PullPolicy::Always
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_id_is_the_name_without_its_tag_and_the_digest() {
        let id = |name: &str| {
            let (digest, path) = ("sha256:1".to_owned(), "/x".into());
            image_id(&Pulled { name: name.into(), wasm_digest: digest.clone(), digest, path, size_bytes: 0, fresh: false })
        };
        for name in ["r:5000/a/b:v1", "r:5000/a/b", "r:5000/a/b@sha256:0"] {
            assert_eq!(id(name), "r:5000/a/b@sha256:1", "{name}");
        }
    }

    #[test]
    fn a_name_without_a_tag_of_its_own_is_pulled_always() {
        for (spelled, image, expected) in [
            ("", "r:5000/a", PullPolicy::Always),
            ("", "a:latest", PullPolicy::Always),
            ("", "r:5000/a:v1", PullPolicy::IfNotPresent),
            ("", "a@sha256:1", PullPolicy::IfNotPresent),
            ("Never", "a", PullPolicy::Never),
            ("Always", "a:v1", PullPolicy::Always),
        ] {
            assert_eq!(policy(spelled, image), expected, "{spelled} {image}");
        }
    }

    #[tokio::test]
    async fn pods_of_one_image_share_its_record() {
        let pulled = |digest: &str| Pulled {
            name: "r/a:1".into(),
            digest: digest.into(),
            wasm_digest: digest.into(),
            path: "/nowhere".into(),
            size_bytes: 0,
            fresh: false,
        };
        let in_use = InUse::default();
        let first = in_use.share("a:1", pulled("sha256:1")).await;
        assert!(Arc::ptr_eq(&first, &in_use.share("a:1", pulled("sha256:1")).await));
        assert!(!Arc::ptr_eq(&first, &in_use.share("a:1", pulled("sha256:2")).await), "the tag has moved");
    }
}
