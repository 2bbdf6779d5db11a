//! Compiled code on disk: `<wasm digest>-<engine>.code` with its seal beside it. Each file is written once, under another name, and renamed.
//! The agent writes these files for the compiler, which sees nothing but two descriptors, and seals what came out. So code that one tenant's
//! image made the compiler emit can never stand for another image's.
use knarr_runtime::{
    Error,
    protocol::Code,
    seal::{self, Key},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Entries that are kept. The ones written longest ago go first, and are compiled again when they are wanted.
const ENTRIES_MAX: usize = 1_000;

pub struct Cache {
    folder: PathBuf,
    key: Key,
}

/// An entry being written.
pub struct Draft {
    pub file: File,
    path: PathBuf,
}

impl Cache {
    /// Makes the folder and the key when they are not there yet.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        let folder = data_dir.join("code");
        let made = fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)));
        made.map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
        let path = data_dir.join("seal.key");
        let key = key(&path).map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?;
        Ok(Self { folder, key })
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The entry of an image, if there is one. Its seal is checked by who loads it.
    pub fn find(&self, digest: &str, engine: &str) -> Result<Option<(Code, File)>, Error> {
        let (code, seal) = self.paths(digest, engine)?;
        let found = fs::read(seal).and_then(|bytes| Ok((serde_json::from_slice::<Code>(&bytes)?, File::open(code)?)));
        // Whatever is wrong with an entry, compiling again is the answer.
        Ok(found.ok().filter(|(code, _)| code.wasm_digest == digest && code.engine == engine))
    }

    /// Begins an entry.
    pub fn draft(&self) -> io::Result<Draft> {
        let path = self.folder.join(".draft");
        // One that was left by a crash.
        remove(&path)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o444).open(&path)?;
        Ok(Draft { file, path })
    }

    /// Seals what the compiler wrote and gives it its name. Blocks.
    pub fn keep(&self, draft: &Draft, digest: &str, engine: &str) -> Result<(), Error> {
        let (code_path, seal_path) = self.paths(digest, engine)?;
        let kept = || -> io::Result<()> {
            draft.file.sync_all()?;
            let mut reading = BufReader::new(File::open(&draft.path)?);
            let seal = seal::seal(&self.key, digest, engine, &mut reading)?;
            let code = Code { wasm_digest: digest.to_owned(), engine: engine.to_owned(), seal };
            remove(&seal_path)?;
            fs::rename(&draft.path, &code_path)?;
            let fresh = self.folder.join(".seal");
            remove(&fresh)?;
            fs::write(&fresh, serde_json::to_vec(&code)?)?;
            fs::rename(&fresh, &seal_path)?;
            self.sweep()
        };
        kept().map_err(|error| Error::Unavailable(format!("{}: {error}", code_path.display())))
    }

    /// Throws an entry away.
    pub fn forget(&self, digest: &str, engine: &str) -> Result<(), Error> {
        let (code, seal) = self.paths(digest, engine)?;
        remove(&seal).and_then(|()| remove(&code)).map_err(|error| Error::Unavailable(format!("{}: {error}", code.display())))
    }

    fn paths(&self, digest: &str, engine: &str) -> Result<(PathBuf, PathBuf), Error> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let hex = hex.ok_or_else(|| Error::NotRunnable(format!("{digest} is no digest")))?;
        let name = |end: &str| self.folder.join(format!("{hex}-{engine}.{end}"));
        Ok((name("code"), name("seal")))
    }

    fn sweep(&self) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "code") {
                entries.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        entries.sort();
        for (_, path) in entries.iter().take(entries.len().saturating_sub(ENTRIES_MAX)) {
            remove(&path.with_extension("seal"))?;
            remove(path)?;
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn key(path: &Path) -> io::Result<Key> {
    let read = |file: &mut File| {
        let mut bytes = [0u8; 32];
        file.read_exact(&mut bytes).map(|()| Key(bytes))
    };
    match File::open(path) {
        Ok(mut file) => return read(&mut file),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let key = read(&mut File::open("/dev/urandom")?)?;
    let fresh = path.with_extension("new");
    remove(&fresh)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(&key.0)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: &str = "0123456789abcdef";

    fn digest(n: u8) -> String {
        format!("sha256:{}", seal::hex(&[n; 32]))
    }

    fn put(cache: &Cache, n: u8) {
        let mut draft = cache.draft().unwrap();
        draft.file.write_all(&[n; 100]).unwrap();
        cache.keep(&draft, &digest(n), ENGINE).unwrap();
    }

    #[test]
    fn keeps_sealed_entries_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert!(cache.find(&digest(1), ENGINE).unwrap().is_none());
        put(&cache, 1);
        let again = Cache::open(folder.path()).unwrap();
        let (code, mut file) = again.find(&digest(1), ENGINE).unwrap().unwrap();
        assert!(seal::holds(again.key(), &digest(1), ENGINE, &mut file, &code.seal).unwrap());
        assert!(again.find(&digest(1), "another").unwrap().is_none(), "an engine that was updated compiles anew");
        again.forget(&digest(1), ENGINE).unwrap();
        assert!(again.find(&digest(1), ENGINE).unwrap().is_none());
    }

    #[test]
    fn keeps_its_key_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path()).unwrap();
        let mode = fs::metadata(folder.path().join("seal.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_entry_without_a_whole_seal_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        put(&cache, 1);
        let (_, seal) = cache.paths(&digest(1), ENGINE).unwrap();
        for bytes in [&b"{}"[..], b"", b"{\"wasm"] {
            fs::write(&seal, bytes).unwrap();
            assert!(cache.find(&digest(1), ENGINE).unwrap().is_none());
        }
    }

    #[test]
    fn takes_no_digest_for_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        for bad in ["", "sha256:", "sha256:../../etc/passwd", "sha512:00", &digest(1)[1..]] {
            assert!(matches!(cache.find(bad, ENGINE), Err(Error::NotRunnable(_))), "{bad}");
        }
    }
}
