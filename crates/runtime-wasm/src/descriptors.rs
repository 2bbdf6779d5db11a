//! What a container is given as descriptors, because its runner may walk to none of it by name: its log and the folders that it mounts.
use knarr_runtime::{Container, Error, Mount};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Files of one mount that are given to the runner's user. A volume with more keeps the owners that it has.
const OWNED_MAX: usize = 10_000;

/// Opens the log to append to it. The agent's log rotation moves the file and has it opened again.
pub fn log(path: &Path) -> Result<File, Error> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o640).open(path);
    opened.map_err(|error| Error::Unavailable(format!("cannot open the log {}: {error}", path.display())))
}

/// Opens every mount of a container. `owner`: the user that its runner is. Blocks.
pub fn mounts(container: &Container, root: &Path, owner: Option<u32>) -> Result<Vec<OwnedFd>, Error> {
    container.mounts.iter().map(|mount| folder(mount, root, owner)).collect()
}

fn folder(mount: &Mount, root: &Path, owner: Option<u32>) -> Result<OwnedFd, Error> {
    let wrong = |what: &str| Error::Unavailable(format!("cannot mount {}: {what}", mount.target));
    let source = fs::canonicalize(&mount.source).map_err(|error| wrong(&format!("{}: {error}", mount.source.display())))?;
    let root = fs::canonicalize(root).map_err(|error| wrong(&format!("{}: {error}", root.display())))?;
    if !source.starts_with(&root) {
        return Err(wrong(&format!("{} lies outside of {}", source.display(), root.display())));
    }
    if !source.is_dir() {
        return Err(wrong("a guest is given folders, this is a single file"));
    }
    if let Some(uid) = owner
        && let Err(error) = give(&source, uid)
    {
        tracing::warn!(folder = %source.display(), %error, "a mount keeps its owner");
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&source, flags, Mode::empty()).map_err(|error| wrong(&error.to_string()))
}

/// Makes a user the owner of a folder and of all in it. Follows no link.
fn give(folder: &Path, uid: u32) -> io::Result<()> {
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    let mut given = 0;
    while let Some(path) = left.pop() {
        given += 1;
        if given > OWNED_MAX {
            return Err(io::Error::other(format!("more than {OWNED_MAX} files")));
        }
        chownat(rustix::fs::CWD, &path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)), AtFlags::SYMLINK_NOFOLLOW)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(root: &Path, source: &str, want: &str) {
        let mount = Mount { source: root.join(source), target: "/data".into(), read_only: true };
        let said = folder(&mount, root, None).map_or_else(|error| error.to_string(), |_| "opened".into());
        assert!(said.contains(want), "{source}: {said}");
    }

    #[test]
    fn opens_folders_of_the_domain_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("shop");
        fs::create_dir_all(root.join("volume")).unwrap();
        fs::create_dir_all(folder.path().join("bank")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink("../bank", root.join("link")).unwrap();
        check(&root, "volume", "opened");
        check(&root, "../bank", "lies outside of");
        check(&root, "link", "lies outside of");
        check(&root, "file", "a single file");
        check(&root, "nothing", "No such file");
    }
}
