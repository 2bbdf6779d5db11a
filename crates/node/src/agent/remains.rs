//! What is left of pods that are gone: containers, volumes and logs that an earlier agent did not get to.
use super::{Shared, loops::Found};
use crate::volumes;
use knarr_runtime::State;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

/// Nobody waits for them any more; requests in flight get this long.
const GRACE_MS: u64 = 1000;

/// At the start of an agent, once all its pods are known.
pub(super) async fn clean(shared: &Shared, orphans: Found) {
    stop(shared, orphans).await;
    let alive: HashSet<String> = shared.slots.entries().iter().map(|entry| entry.meta.uid.to_string()).collect();
    let data = shared.config.data_dir.clone();
    let removed = tokio::task::spawn_blocking(move || {
        let left = left_behind(&data, &alive);
        for folder in &left {
            if let Err(error) = volumes::remove(folder) {
                tracing::warn!(folder = %folder.display(), %error, "what is left of a pod was not removed");
            }
        }
        left.len()
    });
    match removed.await {
        Ok(0) => {}
        Ok(folders) => tracing::info!(folders, "removed what was left of pods that are gone"),
        Err(error) => tracing::error!(%error, "cleaning up failed"),
    }
}

/// Ends and forgets containers that belong to no pod.
pub(super) async fn stop(shared: &Shared, orphans: Found) {
    for (uid, containers) in orphans {
        for one in containers {
            tracing::info!(id = %one.id, "stopping a container without a pod");
            if let State::Running { .. } = one.state
                && let Err(error) = shared.runtime.stop(&one.id, GRACE_MS).await
            {
                tracing::warn!(id = %one.id, %error, "a container without a pod was not stopped");
                continue;
            }
            if let Err(error) = shared.runtime.remove(&one.id).await {
                tracing::warn!(id = %one.id, %error, "a container without a pod was not removed");
            }
        }
        shared.network.release(&uid);
    }
}

/// Folders of volumes and logs that belong to no pod. Blocks.
fn left_behind(data: &Path, alive: &HashSet<String>) -> Vec<PathBuf> {
    let domains = list(&data.join("domains"));
    let pods = domains.iter().flat_map(|domain| list(&domain.join("pods")));
    let volumes = pods.filter(|folder| !alive.contains(&name(folder)));
    let logs = list(&data.join("logs"));
    // `<namespace>_<name>_<uid>`: neither of the first two can have an underscore.
    let logs = logs.into_iter().filter(|folder| !name(folder).rsplit('_').next().is_some_and(|uid| alive.contains(uid)));
    volumes.chain(logs).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_folders_of_pods_that_are_gone_and_no_others() {
        let data = tempfile::tempdir().unwrap();
        for folder in ["domains/shop/pods/u1/volumes", "domains/shop/pods/u2", "logs/shop_web_u1/web", "logs/shop_web_u2"] {
            std::fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        let found = left_behind(data.path(), &HashSet::from(["u1".to_owned()]));
        let found: Vec<_> = found.iter().map(|path| path.strip_prefix(data.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["domains/shop/pods/u2", "logs/shop_web_u2"]);
        assert!(left_behind(&data.path().join("nothing"), &HashSet::new()).is_empty());
    }
}
