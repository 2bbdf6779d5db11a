//! Writes one volume. Blocks.
use super::{Content, File};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
};

/// The link that moves when files change.
const DATA: &str = "..data";
/// Guests run as the user of their isolation domain, who is neither the owner nor of the group: what a pod may see it must be able to
/// read. Who may enter the domain's folder is decided there.
const READABLE: u32 = 0o444;

pub fn write(folder: &Path, content: &Content) -> io::Result<()> {
    match content {
        Content::Empty => open_folder(folder),
        Content::Files(files) => write_files(folder, files),
    }
}

/// A folder in which any user of the domain may write.
pub(super) fn open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
}

fn write_files(folder: &Path, files: &[File]) -> io::Result<()> {
    make_folder(folder)?;
    if let Some(bad) = files.iter().find(|file| !is_plain(&file.path)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {:?}", bad.path)));
    }
    // The guests' user may have written here: only a link to a version of ours is followed.
    let current = fs::read_link(folder.join(DATA)).ok().filter(|link| is_version(link));
    if let Some(current) = &current
        && holds(&folder.join(current), files)
    {
        return Ok(());
    }
    let next = next_name(current.as_deref());
    write_version(&folder.join(&next), files)?;
    let aside = folder.join("..data_tmp");
    remove(&aside)?;
    symlink(&next, &aside)?;
    fs::rename(&aside, folder.join(DATA))?;
    link_names(folder, files)?;
    match current {
        Some(old) => remove(&folder.join(old)),
        None => Ok(()),
    }
}

/// A folder that the domain's user may enter, whatever the agent's umask says.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// `..7`: a name that [`next_name`] gives, and no way out of the folder.
fn is_version(link: &Path) -> bool {
    let count = link.to_str().and_then(|name| name.strip_prefix(".."));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

/// Versions are counted, so that a new one never has the name of the one in use.
fn next_name(current: Option<&Path>) -> PathBuf {
    let count = current.and_then(Path::to_str).and_then(|name| name.trim_start_matches('.').parse::<u64>().ok()).unwrap_or(0);
    format!("..{}", count + 1).into()
}

fn is_plain(path: &str) -> bool {
    !path.is_empty() && !path.starts_with("..") && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The version in use has just these files.
fn holds(version: &Path, files: &[File]) -> bool {
    let same = |file: &File| fs::read(version.join(&file.path)).is_ok_and(|bytes| bytes == file.bytes);
    files.iter().all(same) && count(version).is_ok_and(|count| count == files.len())
}

fn count(folder: &Path) -> io::Result<usize> {
    let mut all = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        all += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(all)
}

fn write_version(version: &Path, files: &[File]) -> io::Result<()> {
    // What an agent left here that died while it wrote.
    remove(version)?;
    make_folder(version)?;
    for file in files {
        let path = version.join(&file.path);
        make_folder(path.parent().expect("it lies in the version's folder"))?;
        fs::write(&path, &file.bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o777 | READABLE))?;
    }
    Ok(())
}

/// Each first part of a path is a link into `..data`; links of files that went are removed.
fn link_names(folder: &Path, files: &[File]) -> io::Result<()> {
    let first = |file: &File| Path::new(&file.path).components().next().map(|part| part.as_os_str().to_owned());
    let wanted: BTreeSet<_> = files.iter().filter_map(first).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with("..");
        if !is_ours && !wanted.contains(&entry.file_name()) {
            remove(&entry.path())?;
        }
    }
    for name in wanted {
        let link = folder.join(&name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(&name), link)?;
        }
    }
    Ok(())
}

/// Removes what is there, if anything is.
pub fn remove(path: &Path) -> io::Result<()> {
    let result = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
