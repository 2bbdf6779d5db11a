//! Keeps logs small: a file that has grown too large is moved aside, once, and its container writes on into a new one.
use crate::{agent::Shared, launch::log_folder, pod::Pod};
use knarr_runtime::{ContainerId, State};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How large a log grows: Kubernetes' default. With the one that was moved aside a container keeps up to twice as much.
const LARGEST_BYTES: u64 = 10 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The file that a log was moved to.
pub(super) fn aside(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Runs for as long as the agent does.
pub(crate) async fn rotate(shared: &Shared) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(all) = shared.runtime.observe().await else { continue };
        for one in all.iter().filter(|one| matches!(one.state, State::Running { .. })) {
            let Some(entry) = shared.slots.entry(&one.pod_uid) else { continue };
            let pod = Pod { metadata: (*entry.meta).clone(), ..Pod::default() };
            let log = log_folder(&shared.config.data_dir, &pod).join(&one.name).join(format!("{}.log", one.attempt));
            if let Err(error) = rotate_one(shared, &log, &one.id).await {
                tracing::warn!(log = %log.display(), %error, "a log was not rotated");
            }
        }
    }
}

async fn rotate_one(shared: &Shared, log: &Path, id: &ContainerId) -> std::io::Result<()> {
    match tokio::fs::metadata(log).await {
        Ok(found) if found.len() > LARGEST_BYTES => {}
        _ => return Ok(()),
    }
    tokio::fs::rename(log, aside(log)).await?;
    shared.runtime.reopen_log(id, log).await.map_err(std::io::Error::other)
}
