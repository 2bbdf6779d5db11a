//! What a node's network remembers over a restart, and the lock that says it is alive.
use crate::{Error, Result, error::Doing, namespace::LOCK};
use ipnet::Ipv4Net;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const FILE: &str = "network.json";
/// Others on the machine look at the lock for an instant, to see whether we live; we try again.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub pod_cidr: Option<String>,
}

/// A data folder whose network is ours as long as this lives.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Home {
    pub fn take(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).doing(format!("making {}", folder.display()))?;
        let path = folder.join(LOCK);
        let mut file = File::create(&path).doing(format!("opening {}", path.display()))?;
        for _ in 0..TRIES {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self { folder: folder.to_owned(), _lock: lock }),
                Err((again, _)) => file = again,
            }
            thread::sleep(BETWEEN_TRIES);
        }
        Err(Error::InUse(folder.to_owned()))
    }

    /// What is remembered. A file that cannot be read is as good as none: the server says it all again.
    pub fn pod_cidr(&self) -> Option<Ipv4Net> {
        let text = fs::read_to_string(self.folder.join(FILE)).ok()?;
        serde_json::from_str::<State>(&text).ok()?.pod_cidr?.parse().ok()
    }

    pub fn remember(&self, pod_cidr: Ipv4Net) -> Result<()> {
        let text = serde_json::to_string(&State { pod_cidr: Some(pod_cidr.to_string()) }).expect("a struct of strings is JSON");
        let (path, new) = (self.folder.join(FILE), self.folder.join("network.json.new"));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).doing(format!("writing {}", path.display()))
    }

    pub fn forget(&self) {
        // Not there is as good as removed, and what cannot be removed is read again by the next start, which does no harm.
        drop(fs::remove_file(self.folder.join(FILE)));
    }
}
