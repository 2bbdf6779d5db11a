//! One process for each data folder. The lock is the operating system's, so it ends with the process, however that ends.
use crate::Error;
use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

/// Held for as long as the folder is in use.
pub(super) struct FolderLock(#[expect(dead_code, reason = "dropping the file ends the lock")] File);

impl FolderLock {
    pub(super) fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("lock");
        let failed = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse { folder: folder.display().to_string(), by: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self(file))
    }
}

/// Who holds the lock, in words for the operator.
fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    if file.read_to_string(&mut pid).is_err() || pid.is_empty() || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return "another process".into();
    }
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    if words.is_empty() { format!("process {pid}") } else { format!("process {pid} ({})", words.join(" ")) }
}
