//! The volumes of a pod: what is in them (pure), and making them on disk.
//!
//! Everything lies below the isolation domain's folder, because a runner's file sandbox is fixed when it starts:
//! `<data>/domains/<namespace>/pods/<uid>/volumes/<name>`. Files of ConfigMaps, Secrets and the downward API change all at once, as
//! Kubernetes has it: names link to `..data/...`, and `..data` is the link that moves.
mod content;
mod folder;
#[cfg(test)]
mod tests;

pub use content::{Content, File, contents};
pub use folder::{remove, write};

use crate::{
    environment::{Variables, expand},
    pod::{Container, Pod},
    surroundings::{Missing, Surroundings},
};
use knarr_runtime::Mount;
use std::path::{Component, Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    Missing { volume: Box<str>, source: Missing },
    #[error("MountVolume.SetUp failed for volume {volume:?} : {kind} volumes are not supported by this node")]
    Unsupported { volume: Box<str>, kind: String },
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    File { volume: Box<str>, source: std::io::Error },
    #[error("{0}")]
    SubPath(String),
}

/// The folder of an isolation domain.
pub fn domain_folder(data: &Path, domain: &str) -> PathBuf {
    data.join("domains").join(domain)
}

/// The folder of one pod.
pub fn pod_folder(data: &Path, domain: &str, uid: &str) -> PathBuf {
    domain_folder(data, domain).join("pods").join(uid)
}

/// Makes or renews all volumes of a pod. Blocks.
pub fn make(data: &Path, pod: &Pod, around: &Surroundings) -> Result<(), Error> {
    let folder = pod_folder(data, &pod.metadata.namespace, &pod.metadata.uid).join("volumes");
    for volume in &pod.spec.volumes {
        let content = contents(pod, volume, around)?;
        write(&folder.join(&*volume.name), &content).map_err(|source| Error::File { volume: volume.name.clone(), source })?;
    }
    Ok(())
}

/// Where a container finds its volumes. Makes the folders that `subPath` names. Blocks.
pub fn mounts(data: &Path, pod: &Pod, container: &Container, variables: &Variables) -> Result<Vec<Mount>, Error> {
    let volumes = pod_folder(data, &pod.metadata.namespace, &pod.metadata.uid).join("volumes");
    let mut mounts = Vec::with_capacity(container.volume_mounts.len());
    for mount in &container.volume_mounts {
        let Some(volume) = pod.spec.volumes.iter().find(|volume| volume.name == mount.name) else { continue };
        let sub = match mount.sub_path_expr.as_str() {
            "" => mount.sub_path.clone(),
            expression => expand(expression, |name| variables.get(name).cloned()),
        };
        let root = volumes.join(&*volume.name);
        let source = if sub.is_empty() { root } else { inside(&root, &sub)? };
        let is_read_only = mount.read_only || !volume.source.is_writable();
        mounts.push(Mount { source, target: mount.mount_path.clone(), read_only: is_read_only });
    }
    Ok(mounts)
}

/// The real path of a `subPath`, which no link may lead out of its volume: guests can write links into an emptyDir.
fn inside(root: &Path, sub: &str) -> Result<PathBuf, Error> {
    let refuse = |why: String| Error::SubPath(format!("failed to create subPath directory for volumeMount: {sub:?}: {why}"));
    let relative = Path::new(sub);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refuse("must be a relative path without ..".into()));
    }
    let root = root.canonicalize().map_err(|e| refuse(e.to_string()))?;
    let path = root.join(relative);
    // The part that is there decides: below it nothing can be a link.
    let standing = path.ancestors().find(|part| part.symlink_metadata().is_ok()).unwrap_or(&root);
    let real = standing.canonicalize().map_err(|e| refuse(e.to_string()))?;
    if !real.starts_with(&root) {
        return Err(refuse("it leads out of the volume".into()));
    }
    if !path.exists() {
        folder::open_folder(&path).map_err(|e| refuse(e.to_string()))?;
    }
    path.canonicalize().map_err(|e| refuse(e.to_string()))
}
