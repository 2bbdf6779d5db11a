//! Brings a container's image.
use super::Worker;
use crate::images;
use knarr_image::PullError;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

impl Worker<'_> {
    pub(super) async fn pull(&mut self, index: usize) {
        let Some(container) = self.pod.container(index).cloned() else { return };
        let policy = images::policy(&container.image_pull_policy, &container.image);
        let source = Arc::clone(&self.shared.images);
        let (name, began) = (container.image.clone(), Instant::now());
        let pulling = format!("Pulling image {name:?}");
        let told = AtomicBool::new(false);
        let meanwhile = |worker: &Self| {
            worker.shared.teller.note(&worker.pod, Some(index), "Pulling", pulling.clone());
            told.store(true, Ordering::Relaxed);
        };
        let Some(result) = self.slowly(source.ensure(&name, policy), meanwhile).await else { return };
        let teller = &self.shared.teller;
        let tell_pulling = || {
            if !told.swap(true, Ordering::Relaxed) {
                teller.note(&self.pod, Some(index), "Pulling", pulling.clone());
            }
        };
        match result {
            Ok(pulled) => {
                let message = if pulled.fresh {
                    tell_pulling();
                    let took = seconds(began.elapsed());
                    format!(
                        "Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {} bytes.",
                        pulled.size_bytes
                    )
                } else {
                    format!("Container image {name:?} already present on machine")
                };
                teller.note(&self.pod, Some(index), "Pulled", message);
                let here = self.shared.in_use.share(&name, pulled).await;
                if let Some(known) = self.memory.containers.get_mut(index) {
                    known.pulled(here);
                }
            }
            Err(error) => {
                if matches!(error, PullError::Registry { .. } | PullError::NotWasm { .. } | PullError::TooLarge { .. }) {
                    tell_pulling();
                }
                self.pull_failed(index, &name, &error);
            }
        }
    }

    fn pull_failed(&mut self, index: usize, image: &str, error: &PullError) {
        let (teller, reason) = (&self.shared.teller, error.reason());
        let (first, message) = match error {
            PullError::InvalidName { .. } => ("InspectFailed", format!("Failed to apply default image tag {image:?}: {error}")),
            PullError::NeverPulled { .. } => ("ErrImageNeverPull", error.to_string()),
            _ => ("Failed", format!("Failed to pull image {image:?}: {error}")),
        };
        teller.warn(&self.pod, Some(index), first, message.clone());
        teller.warn(&self.pod, Some(index), "Failed", format!("Error: {reason}"));
        // The status says what the registry said; the event says what was tried as well.
        let said = if reason == "InvalidImageName" { message } else { error.to_string() };
        let now = self.now();
        if let Some((container, known)) = self.pod.container(index).zip(self.memory.containers.get_mut(index)) {
            known.failed(container, reason, said, now);
        }
    }
}

/// As Go writes short durations.
fn seconds(took: std::time::Duration) -> String {
    if took.as_secs() == 0 { format!("{}ms", took.as_millis()) } else { format!("{}.{:03}s", took.as_secs(), took.subsec_millis()) }
}
