//! Which user each domain's runner runs as: given once, and kept over restarts, because files belong to it.
use knarr_runtime::Error;
use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Mutex};

/// More domains than this never had a node.
const DOMAINS_MAX: u32 = 100_000;

pub struct Users {
    path: PathBuf,
    base: u32,
    given: Mutex<BTreeMap<String, u32>>,
}

impl Users {
    /// Reads what was given before.
    pub fn open(path: PathBuf, base: u32) -> Result<Self, Error> {
        let given = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Error::Unavailable(format!("{}: {error}", path.display()))),
        };
        Ok(Self { path, base, given: Mutex::new(given) })
    }

    /// The compiler's own.
    pub fn compiler(&self) -> u32 {
        self.base
    }

    /// That domain's, the same each time.
    pub fn of(&self, domain: &str) -> Result<u32, Error> {
        let mut given = self.given.lock().expect("the lock of users is never poisoned");
        if let Some(uid) = given.get(domain) {
            return Ok(*uid);
        }
        let uid = next(self.base, &given).ok_or_else(|| Error::Unavailable("no user is left for another domain".into()))?;
        given.insert(domain.to_owned(), uid);
        let written = serde_json::to_vec(&*given).map_err(io::Error::from).and_then(|bytes| {
            let fresh = self.path.with_extension("new");
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, &self.path)
        });
        if let Err(error) = written {
            given.remove(domain);
            return Err(Error::Unavailable(format!("{}: {error}", self.path.display())));
        }
        Ok(uid)
    }
}

/// One above the highest: a user is not given again, since files of a former domain may be left.
fn next(base: u32, given: &BTreeMap<String, u32>) -> Option<u32> {
    let highest = given.values().copied().max().unwrap_or(base);
    highest.checked_add(1).filter(|uid| uid - base <= DOMAINS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_domain_a_user_of_its_own_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let users = Users::open(path.clone(), 1_000).unwrap();
        assert_eq!(
            (users.compiler(), users.of("a").unwrap(), users.of("b").unwrap(), users.of("a").unwrap()),
            (1_000, 1_001, 1_002, 1_001)
        );
        let again = Users::open(path, 1_000).unwrap();
        assert_eq!((again.of("b").unwrap(), again.of("c").unwrap()), (1_002, 1_003));
    }

    #[test]
    fn ends_where_its_users_end() {
        let given = BTreeMap::from([("a".to_owned(), 1_000 + DOMAINS_MAX)]);
        assert_eq!(next(1_000, &given), None);
    }
}
