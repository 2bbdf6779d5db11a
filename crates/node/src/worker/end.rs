//! The end of a pod: what is left of it here goes, and then the object.
use super::{Worker, gather::blocking};
use crate::{launch, volumes};
use knarr_machinery::Reason;

impl Worker<'_> {
    /// Removes containers and volumes and gives the address back. Logs stay for as long as the object does.
    pub(super) async fn clean(&mut self) {
        let ended: Vec<_> = self.memory.containers.iter().filter(|known| known.ended().is_some()).cloned().collect();
        for known in &ended {
            self.remove(&known.name, known.attempt).await;
        }
        let folder = self.folder();
        match blocking(move || volumes::remove(&folder)).await {
            Ok(()) => {
                self.shared.network.release(&self.turn.uid);
                self.memory.cleaned();
                self.memory.trouble = None;
            }
            Err(error) => {
                tracing::warn!(pod = %self.turn.entry.key, %error, "the volumes were not removed");
                let now = self.now();
                self.trouble("FailedKillPod", error.to_string(), now);
            }
        }
    }

    /// The last status, and then the object.
    pub(super) async fn finish(&mut self) {
        let retry_at = self.write_status().await;
        if self.turn.is_gone {
            return;
        }
        let now = self.now();
        if retry_at.is_some() {
            self.renew();
            self.trouble("StatusRefused", String::new(), now);
            return;
        }
        let entry = std::sync::Arc::clone(&self.turn.entry);
        match self.shared.api.remove_pod(&entry.key, &self.turn.uid).await {
            Ok(_) => self.memory.is_finished = true,
            // Gone, or another pod has the name by now.
            Err(status) if matches!(status.reason, Reason::NotFound | Reason::Conflict) => self.memory.is_finished = true,
            Err(status) => {
                tracing::warn!(pod = %entry.key, %status, "the pod was not removed from the API");
                self.trouble("DeleteRefused", status.message, now);
            }
        }
    }

    /// Nothing of it is left to look after.
    pub(super) async fn forget(&self) {
        let shared = self.shared;
        shared.prober.keep(&self.turn.uid, vec![], |_| false, &shared.timers, self.now());
        shared.waiting.forget(&self.turn.uid);
        let logs = launch::log_folder(&shared.config.data_dir, &self.pod);
        if let Err(error) = blocking(move || volumes::remove(&logs)).await {
            tracing::warn!(pod = %self.turn.entry.key, %error, "the logs were not removed");
        }
        shared.slots.forget(&self.turn.uid);
    }
}
