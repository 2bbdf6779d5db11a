//! Gathers what a pod refers to from the shelf, and makes its volumes.
use super::Worker;
use crate::{
    surroundings::{References, Surroundings},
    volumes,
};
use knarr_cluster::{View as _, views};
use knarr_machinery::Key;
use std::{path::PathBuf, time::Duration};

/// An object that was just wished for may take this long to come to a remote shelf before it counts as missing.
const FIRST_SIGHT: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Worker<'_> {
    pub(super) async fn gather(&mut self) -> Surroundings {
        let wanted = References::of(&self.pod);
        let is_new = self.wish(&wanted);
        let mut around = self.look_around(&wanted);
        let is_missing =
            |around: &Surroundings| around.config_maps.len() < wanted.config_maps.len() || around.secrets.len() < wanted.secrets.len();
        if is_missing(&around) {
            // Whoever brings it from here on wakes this pod.
            self.shared.waiting.add(&self.pod.metadata.namespace, &wanted, &self.turn.uid);
            let until = tokio::time::Instant::now() + if is_new { FIRST_SIGHT } else { Duration::ZERO };
            around = self.look_around(&wanted);
            while is_missing(&around) && tokio::time::Instant::now() < until && !self.turn.interrupt.is_cancelled() {
                tokio::time::sleep(LOOK_EVERY).await;
                around = self.look_around(&wanted);
            }
        }
        around
    }

    /// True: these wishes are new.
    fn wish(&self, wanted: &References) -> bool {
        let shared = self.shared;
        let is_nothing = wanted.config_maps.is_empty() && wanted.secrets.is_empty();
        if is_nothing || shared.slots.has_wishes(&self.turn.uid) {
            return false;
        }
        let key = |name: &String| Key::new(&self.pod.metadata.namespace, name);
        let config_maps = wanted.config_maps.iter().map(|name| shared.interest.want(&views::ConfigMap::resource(), &key(name)));
        let secrets = wanted.secrets.iter().map(|name| shared.interest.want(&views::Secret::resource(), &key(name)));
        shared.slots.want(&self.turn.uid, config_maps.chain(secrets).collect());
        true
    }

    fn look_around(&self, wanted: &References) -> Surroundings {
        let shelf = &self.shared.cluster.shelf;
        let namespace = &self.pod.metadata.namespace;
        let config_map = |name: &String| Some((name.clone(), shelf.view(&Key::new(namespace, name))?));
        let secret = |name: &String| Some((name.clone(), shelf.view(&Key::new(namespace, name))?));
        Surroundings {
            config_maps: wanted.config_maps.iter().filter_map(config_map).collect(),
            secrets: wanted.secrets.iter().filter_map(secret).collect(),
            services: if self.pod.spec.enable_service_links.unwrap_or(true) { shelf.views(Some(namespace)) } else { vec![] },
            api: shelf.view(&Key::new("default", "kubernetes")),
            node: self.shared.facts(),
            pod_address: self.memory.address,
        }
    }

    pub(super) async fn make_volumes(&mut self) {
        if self.pod.spec.volumes.is_empty() {
            self.memory.has_volumes = true;
            return;
        }
        let around = self.gather().await;
        let (data, pod) = (self.shared.config.data_dir.clone(), self.pod.clone());
        let made = blocking(move || volumes::make(&data, &pod, &around)).await;
        match made {
            Ok(()) => (self.memory.has_volumes, self.memory.trouble) = (true, None),
            Err(e) => {
                let now = self.now();
                self.shared.teller.warn(&self.pod, None, "FailedMount", e.to_string());
                self.trouble("FailedMount", e.to_string(), now);
            }
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        volumes::pod_folder(&self.shared.config.data_dir, &self.pod.metadata.namespace, &self.turn.uid)
    }
}

/// Runs what blocks where it may. A panic there is one here.
pub(super) async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(what).await {
        Ok(done) => done,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
