//! Where things lie, unless somebody says otherwise.
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// What was said, `$KNARR_DATA_DIR`, `/var/lib/knarr` for root, or the user's data folder.
pub fn data_dir(said: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let said = said.or_else(|| std::env::var_os("KNARR_DATA_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from));
    let folder = match said {
        Some(folder) => folder,
        None if nix::unistd::geteuid().is_root() => PathBuf::from("/var/lib/knarr"),
        None => match std::env::var_os("XDG_DATA_HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home).join("knarr"),
            None => home().context("no --data-dir, and no home folder to choose one in")?.join(".local/share/knarr"),
        },
    };
    std::path::absolute(folder).context("the data folder's path")
}

pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

pub fn server(data: &Path) -> PathBuf {
    data.join("server")
}

pub fn agent(data: &Path) -> PathBuf {
    data.join("agent")
}

/// The node's images.
pub fn images(data: &Path) -> PathBuf {
    agent(data).join("content")
}

pub fn kubeconfig(data: &Path) -> PathBuf {
    data.join("kubeconfig")
}

pub fn node_token(data: &Path) -> PathBuf {
    server(data).join("node-token")
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let aside = path.with_extension("incoming");
    let said = || format!("writing {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(said)?;
    }
    // A left-over of a write that was cut off may have another mode.
    if aside.exists() {
        std::fs::remove_file(&aside).with_context(said)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).with_context(said)?;
    file.write_all(text.as_bytes()).with_context(said)?;
    file.sync_all().with_context(said)?;
    std::fs::rename(&aside, path).with_context(said)
}
