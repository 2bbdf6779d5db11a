//! The images of one node: names that point at content by digest. Names are files, so that `knarr image import` and the agent need no
//! lock between them: a name is written aside and renamed, and read at each use.
use crate::{Description, Error, PullError, World, blobs::Blobs, describe, remote};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};
use tokio::sync::Semaphore;

/// Pulls at once: more would share the same wire.
const PULLS_AT_ONCE: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time; content that is here is not moved again.
    Always,
    IfNotPresent,
    Never,
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// The name in full: `localhost:5000/web:v1`.
    pub name: String,
    /// The manifest's digest: what `imageID` shows.
    pub digest: String,
    pub wasm_digest: String,
    pub path: PathBuf,
    pub size_bytes: u64,
    /// It came over the wire just now.
    pub fresh: bool,
}

/// One line of `knarr image list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    pub name: String,
    pub digest: String,
    pub wasm_digest: String,
    pub size_bytes: u64,
}

pub struct Images {
    blobs: Blobs,
    names: PathBuf,
    /// One pull of a name at a time: a hundred replicas ask for it at once.
    pulling: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    slots: Semaphore,
}

impl Images {
    /// Opens or makes a content store.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let names = folder.as_ref().join("names");
        std::fs::create_dir_all(&names).map_err(Error::file(&names))?;
        let blobs = Blobs::open(folder.as_ref().join("blobs"))?;
        Ok(Self { blobs, names, pulling: Mutex::default(), slots: Semaphore::new(PULLS_AT_ONCE) })
    }

    /// The image, pulled if the policy asks for it. Its Wasm is on the disk and has the digest that it is named by.
    pub async fn ensure(&self, name: &str, policy: PullPolicy) -> Result<Pulled, PullError> {
        let reference = remote::parse(name)?;
        let whole = reference.whole();
        if policy != PullPolicy::Always
            && let Some(pulled) = self.find(&whole)
        {
            return Ok(pulled);
        }
        if policy == PullPolicy::Never {
            return Err(PullError::NeverPulled { name: name.into() });
        }
        let turn = self.turn(&whole);
        let _mine = turn.lock().await;
        if policy == PullPolicy::IfNotPresent
            && let Some(pulled) = self.find(&whole)
        {
            return Ok(pulled);
        }
        let _slot = self.slots.acquire().await.expect("never closed");
        let fetched = remote::pull(&reference, &self.blobs).await?;
        let path = self.blobs.find(&fetched.wasm_digest).expect("just pulled");
        self.refuse_what_is_not_wasm(&whole, &path).await?;
        let named = Named {
            name: whole.clone(),
            digest: fetched.manifest_digest,
            wasm_digest: fetched.wasm_digest,
            size_bytes: fetched.size_bytes,
        };
        self.write_name(&named).map_err(|e| PullError::Storage { name: whole, why: e.to_string() })?;
        Ok(pulled(named, path, true))
    }

    /// Takes a Wasm file in under a name, for machines without any registry.
    pub async fn import(&self, wasm: &[u8], name: &str) -> Result<Description, Error> {
        let whole = remote::parse(name)?.whole();
        let description = describe(wasm)?;
        if description.world == World::Other {
            return Err(Error::NotWasm(format!(
                "it exports {:?}: neither wasi:cli/run, nor an HTTP handler, nor _start",
                description.exports
            )));
        }
        let stored = self.blobs.put(wasm).await;
        let wasm_digest = stored.map_err(|e| PullError::Storage { name: whole.clone(), why: e.to_string() })?;
        self.write_name(&Named { name: whole, digest: wasm_digest.clone(), wasm_digest, size_bytes: description.size_bytes })?;
        Ok(description)
    }

    /// What is here, sorted by name.
    pub fn list(&self) -> Result<Vec<Named>, Error> {
        let mut all = Vec::new();
        for file in std::fs::read_dir(&self.names).map_err(Error::file(&self.names))? {
            let path = file.map_err(Error::file(&self.names))?.path();
            all.extend(read_name(&path));
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn find(&self, whole: &str) -> Option<Pulled> {
        let named = read_name(&self.name_file(whole))?;
        let path = self.blobs.find(&named.wasm_digest)?;
        Some(pulled(named, path, false))
    }

    fn turn(&self, whole: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulling = self.pulling.lock().expect("no panic while held");
        if let Some(turn) = pulling.get(whole).and_then(Weak::upgrade) {
            return turn;
        }
        pulling.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        pulling.insert(whole.into(), Arc::downgrade(&turn));
        turn
    }

    async fn refuse_what_is_not_wasm(&self, name: &str, path: &Path) -> Result<(), PullError> {
        let bytes = tokio::fs::read(path).await.map_err(|e| PullError::Storage { name: name.into(), why: e.to_string() })?;
        match describe(&bytes) {
            Ok(_) => Ok(()),
            Err(e) => Err(PullError::NotWasm { name: name.into(), found: e.to_string() }),
        }
    }

    fn name_file(&self, whole: &str) -> PathBuf {
        let hex: String = Sha256::digest(whole).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.names.join(format!("{hex}.json"))
    }

    fn write_name(&self, named: &Named) -> Result<(), Error> {
        let aside = self.names.join(format!("incoming-{:016x}", rand::random::<u64>()));
        std::fs::write(&aside, serde_json::to_vec(named).expect("plain data")).map_err(Error::file(&aside))?;
        std::fs::rename(&aside, self.name_file(&named.name)).map_err(Error::file(&aside))
    }
}

fn pulled(named: Named, path: PathBuf, fresh: bool) -> Pulled {
    Pulled { name: named.name, digest: named.digest, wasm_digest: named.wasm_digest, path, size_bytes: named.size_bytes, fresh }
}

/// A file that cannot be read is no image: the next pull writes it anew.
fn read_name(path: &Path) -> Option<Named> {
    path.extension().filter(|e| *e == "json")?;
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
