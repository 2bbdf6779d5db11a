//! Starts a container, and stops it.
use super::{Worker, gather::blocking};
use crate::{
    environment, launch,
    pod::Container,
    surroundings::Missing,
    sync::{Because, Stop},
    volumes,
};
use knarr_runtime::{Container as Launch, ContainerId, Error as RuntimeError, NetworkError};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Logs are kept of this many attempts: the one that runs, and the one that `--previous` shows.
const LOGS_KEPT: u32 = 2;
/// A runtime that could not stop a container is asked again after this.
const STOP_AGAIN: Duration = Duration::from_secs(1);

/// Why a container was not started: the reason for its status and the message.
struct Failure {
    reason: &'static str,
    message: String,
}

impl Failure {
    fn config(error: impl ToString) -> Self {
        Self { reason: "CreateContainerConfigError", message: error.to_string() }
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        Self::config(missing)
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self { reason: "RunContainerError", message: error.to_string() }
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let reason = match &error {
            RuntimeError::NotRunnable(_) => "ImageNotWasm",
            RuntimeError::CompileError(_) => "CompileError",
            RuntimeError::CompileTimeout { .. } => "CompileTimeout",
            RuntimeError::ImportUnsatisfied(_) => "ImportUnsatisfied",
            RuntimeError::NoSuchContainer(_) | RuntimeError::Unavailable(_) => "RunContainerError",
        };
        Self { reason, message: error.to_string() }
    }
}

impl Worker<'_> {
    pub(super) async fn start(&mut self, index: usize) {
        let Some(container) = self.pod.container(index).cloned() else { return };
        let result = self.try_start(index, &container).await;
        let now = self.now();
        let Some(known) = self.memory.containers.get_mut(index) else { return };
        match result {
            Ok(true) => {
                let before = known.ended().map(|_| known.attempt);
                known.started(&container, now, self.shared.observer.begun());
                let teller = &self.shared.teller;
                teller.note(&self.pod, Some(index), "Started", format!("Started container {}", container.name));
                if let Some(before) = before {
                    self.remove(&container.name, before).await;
                }
            }
            Ok(false) => {}
            Err(Failure { reason, message }) => {
                self.shared.teller.warn(&self.pod, Some(index), "Failed", format!("Error: {message}"));
                known.failed(&container, reason, message, now);
            }
        }
    }

    /// False: given up, because the pod is to end.
    async fn try_start(&mut self, index: usize, container: &Container) -> Result<bool, Failure> {
        let launch = self.resolve(index, container).await?;
        let runtime = Arc::clone(&self.shared.runtime);
        let Some(prepared) = self.slowly(runtime.prepare(&launch.image), |_| {}).await else { return Ok(false) };
        prepared?;
        let listen = launch.listen.iter().map(|listen| self.shared.network.listen(&self.turn.uid, listen.address));
        let sockets: Vec<OwnedFd> = listen.collect::<Result<_, _>>()?;
        self.shared.teller.note(&self.pod, Some(index), "Created", format!("Created container: {}", container.name));
        // Not to be left half way: what became of it would not be known.
        runtime.start(launch, sockets).await?;
        Ok(true)
    }

    async fn resolve(&mut self, index: usize, container: &Container) -> Result<Launch, Failure> {
        let around = self.gather().await;
        let variables = environment::variables(&self.pod, container, &around)?;
        let data = self.shared.config.data_dir.clone();
        let known = &self.memory.containers[index];
        let (Some(here), Some(address)) = (known.here.clone(), self.memory.address) else {
            return Err(Failure { reason: "RunContainerError", message: "the image or the address went away".into() });
        };
        let logs = launch::log_folder(&data, &self.pod).join(&*container.name);
        let forgotten = known.next_attempt().checked_sub(LOGS_KEPT).map(|attempt| logs.join(format!("{attempt}.log")));
        let mounts = if container.volume_mounts.is_empty() {
            make_log_folder(&logs, forgotten).map_err(Failure::config)?;
            vec![]
        } else {
            let (pod, container, variables, data) = (self.pod.clone(), container.clone(), variables.clone(), data.clone());
            let made = blocking(move || {
                make_log_folder(&logs, forgotten).map_err(Failure::config)?;
                volumes::mounts(&data, &pod, &container, &variables).map_err(Failure::config)
            });
            made.await?
        };
        let resolved = launch::Resolved { here: &here, variables, mounts, address, data: &data };
        Ok(launch::launch(&self.pod, index, container, known, resolved))
    }

    /// Forgets an earlier attempt. It has ended: that the runtime does not know it any more is as good.
    pub(super) async fn remove(&self, name: &str, attempt: u32) {
        let id = ContainerId::new(&self.turn.uid, name, attempt);
        match self.shared.runtime.remove(&id).await {
            Ok(()) | Err(RuntimeError::NoSuchContainer(_)) => {}
            Err(error) => tracing::warn!(%id, %error, "a container was not removed"),
        }
    }

    /// Stops containers, all at once, and waits until they have ended.
    pub(super) async fn stop(&mut self, stops: &[Stop]) {
        let mut ids = Vec::with_capacity(stops.len());
        for stop in stops {
            let Some(known) = self.memory.containers.get_mut(stop.container) else { continue };
            ids.push((ContainerId::new(&self.turn.uid, &known.name, known.attempt), stop.grace_ms));
            known.stopping(true);
            let message = killing(&known.name, stop.because);
            self.shared.teller.note(&self.pod, Some(stop.container), "Killing", message);
        }
        self.probe();
        let runtime = Arc::clone(&self.shared.runtime);
        let all = futures_util::future::join_all(ids.iter().map(|(id, grace_ms)| runtime.stop(id, *grace_ms)));
        let mut has_failed = false;
        for (result, (id, _)) in self.slowly(all, |_| {}).await.into_iter().flatten().zip(&ids) {
            if let Err(error) = result
                && !matches!(error, RuntimeError::NoSuchContainer(_))
            {
                tracing::warn!(%id, %error, "a container was not stopped");
                has_failed = true;
            }
        }
        let interrupt = self.turn.interrupt.clone();
        if has_failed {
            // Tried again, but not in a circle.
            tokio::select! { () = tokio::time::sleep(STOP_AGAIN) => {}, () = interrupt.cancelled() => {} }
        } else if !interrupt.is_cancelled() {
            // The end shows in the next look; one that is under way may have begun before it.
            self.shared.observer.fresh().await;
        }
        for stop in stops {
            if let Some(known) = self.memory.containers.get_mut(stop.container) {
                known.stopping(false);
            }
        }
    }
}

fn make_log_folder(folder: &Path, forgotten: Option<PathBuf>) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    forgotten.map_or(Ok(()), |log| volumes::remove(&log))
}

fn killing(name: &str, because: Because) -> String {
    match because {
        Because::PodEnds => format!("Stopping container {name}"),
        Because::Liveness => format!("Container {name} failed liveness probe, will be restarted"),
        Because::Startup => format!("Container {name} failed startup probe, will be restarted"),
        Because::Changed => format!("Container {name} definition changed, will be restarted"),
    }
}
