//! One attempt at a write: compare and swap, wait until the shelf shows it, answer.
use super::{
    Ask, Door,
    draft::{allocates, changes_nothing},
};
use crate::{deletion, object, splice};
use bytes::Bytes;
use knarr_cluster::{Done, Entry};
use knarr_machinery::{Revision, Status};
use knarr_store::{Error, Expect};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// The feed is milliseconds behind; if it is not there by then, it stands still.
const SHELF_PATIENCE: Duration = Duration::from_secs(10);

/// Why an attempt did not succeed.
pub enum Failed {
    /// Someone else wrote first; this process has seen it by now.
    Lost,
    Refused(Status),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// What a write makes of an object: its stored form, in which only metadata is not stamped yet.
pub struct Wanted {
    pub object: Value,
    pub warnings: Vec<String>,
}

impl Door {
    /// Makes a new object.
    pub(super) async fn attempt_create(&self, ask: &Ask<'_>, mut wanted: Wanted) -> Result<Done, Failed> {
        object::stamp_new(&mut wanted.object, ask.kind.has_generation, &uuid::Uuid::new_v4().to_string(), ask.now)?;
        wanted.warnings.extend(object::unite_owners(&mut wanted.object));
        if !ask.kind.keeps_status {
            object::keep_status(&mut wanted.object, None);
        }
        let _turn = if allocates(ask) { Some(self.0.services.lock().await) } else { None };
        let ready = self.ready(ask, wanted.object, None)?;
        wanted.warnings.extend(ready.warnings);
        if ask.options.dry_run {
            if self.0.shelf.get(&ask.storage, &ask.key).is_some() {
                return Err(Failed::Lost);
            }
            return Ok(Done { created: true, ..done(ask, splice::without_version(&ready.bytes), Revision(0), wanted.warnings)? });
        }
        let bytes = Bytes::from(ready.bytes);
        let revision = self.store(ask, Expect::Absent, Some(bytes.clone())).await?;
        Ok(Done { created: true, ..done(ask, splice::with_revision(&bytes, revision), revision, wanted.warnings)? })
    }

    /// Puts `wanted` in the place of `current`, and removes it where that was the last thing to hold a deleted object.
    pub(super) async fn attempt_update(
        &self,
        ask: &Ask<'_>,
        current: &Arc<Entry>,
        old: &Value,
        mut wanted: Wanted,
    ) -> Result<Done, Failed> {
        object::stamp_update(&mut wanted.object, old)?;
        wanted.warnings.extend(object::unite_owners(&mut wanted.object));
        let _turn = if allocates(ask) { Some(self.0.services.lock().await) } else { None };
        let ready = self.ready(ask, wanted.object, Some(current))?;
        wanted.warnings.extend(ready.warnings);
        self.replace(ask, current, ready.bytes, wanted.warnings).await
    }

    /// Writes an encoded object over the one it was made from.
    pub(super) async fn replace(&self, ask: &Ask<'_>, current: &Arc<Entry>, bytes: Vec<u8>, warnings: Vec<String>) -> Result<Done, Failed> {
        let unchanged = splice::with_revision(&bytes, current.revision);
        if current.meta.is_deleting() && deletion::is_complete(&ask.kind, &serde_json::from_slice(&bytes).map_err(Status::internal)?) {
            let revision = if ask.options.dry_run { current.revision } else { self.store(ask, Expect::At(current.revision), None).await? };
            return Ok(done(ask, unchanged, revision, warnings)?);
        }
        if ask.options.dry_run || changes_nothing(&bytes, current) {
            return Ok(done(ask, unchanged, current.revision, warnings)?);
        }
        let bytes = Bytes::from(bytes);
        let revision = self.store(ask, Expect::At(current.revision), Some(bytes.clone())).await?;
        Ok(done(ask, splice::with_revision(&bytes, revision), revision, warnings)?)
    }

    /// Writes, and returns once the shelf shows it. A lost race returns once the shelf shows the winner.
    pub(super) async fn store(&self, ask: &Ask<'_>, expect: Expect, value: Option<Bytes>) -> Result<Revision, Failed> {
        match self.0.store.write(&ask.key.path(&ask.storage), expect, value).await {
            Ok(revision) => {
                self.shown(ask, revision).await?;
                Ok(revision)
            }
            Err(Error::Conflict { found }) => {
                let winner = match found {
                    Some(revision) => revision,
                    None => self.0.store.last_change(&ask.storage.prefix()).await.map_err(unavailable)?,
                };
                self.shown(ask, winner).await?;
                Err(Failed::Lost)
            }
            Err(error) => Err(unavailable(error).into()),
        }
    }

    async fn shown(&self, ask: &Ask<'_>, revision: Revision) -> Result<(), Status> {
        let reached = self.0.shelf.reached(&ask.storage, revision);
        tokio::time::timeout(SHELF_PATIENCE, reached)
            .await
            .map_err(|_| Status::internal(format!("revision {revision} is stored but not shown")))
    }
}

fn unavailable(error: Error) -> Status {
    tracing::error!(%error, "the store refuses");
    Status::unavailable(error.to_string())
}

/// The answer, in the version that was asked for.
pub(super) fn done(ask: &Ask<'_>, stored: Bytes, revision: Revision, warnings: Vec<String>) -> Result<Done, Status> {
    let object = crate::answer::served(&ask.kind, stored)?;
    Ok(Done { revision, object, created: false, pending: false, warnings })
}
