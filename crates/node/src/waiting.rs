//! Which pods wait for which ConfigMaps and Secrets.
use crate::surroundings::References;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// A kind and `namespace/name`.
type Object = (Kind, String);

/// As many lines as pods lack something.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<Object, HashSet<Arc<str>>>>);

impl Waiting {
    /// The pod is woken when one of these comes or changes.
    pub fn add(&self, namespace: &str, wanted: &References, uid: &Arc<str>) {
        let config_maps = wanted.config_maps.iter().map(|name| (Kind::ConfigMap, name));
        let secrets = wanted.secrets.iter().map(|name| (Kind::Secret, name));
        let mut all = self.0.lock().expect("no panic while held");
        for (kind, name) in config_maps.chain(secrets) {
            all.entry((kind, format!("{namespace}/{name}"))).or_default().insert(Arc::clone(uid));
        }
    }

    /// Who waits for an object that has just changed. They are told once.
    pub fn take(&self, kind: Kind, key: String) -> HashSet<Arc<str>> {
        self.0.lock().expect("no panic while held").remove(&(kind, key)).unwrap_or_default()
    }

    pub fn forget(&self, uid: &str) {
        self.0.lock().expect("no panic while held").retain(|_, uids| {
            uids.remove(uid);
            !uids.is_empty()
        });
    }
}
