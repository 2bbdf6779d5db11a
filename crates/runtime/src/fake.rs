//! A runtime without guests: every container does what its image's script says. For the tests of those who use a Runtime.
use crate::{Container, ContainerId, Error, Image, Listener, Observed, Pending, Routes, Runtime, State, Usage};
use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::Notify;

/// What containers of an image do.
#[derive(Debug, Clone, PartialEq)]
pub enum Script {
    /// Runs until it is stopped. What images without a script do.
    Serves,
    /// Ends as soon as it is started.
    Exits { code: i32 },
    /// Cannot be made ready.
    Fails(Error),
    /// Takes so long to be made ready; serves then.
    Slow(Duration),
    /// Serves; told to stop it takes so long to end, and is ended by force where its grace is shorter.
    Drains(Duration),
}

/// What the exit code of a container says that was ended by force.
const KILLED: i32 = 137;

/// Where the times of containers come from, in milliseconds since 1970.
enum Time {
    /// Counts its own calls, so that times differ and tests repeat.
    Counted(u64),
    Told(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl Default for Time {
    fn default() -> Self {
        Self::Counted(0)
    }
}

impl Time {
    fn next_ms(&mut self) -> u64 {
        match self {
            Self::Counted(ms) => {
                *ms += 1;
                *ms
            }
            Self::Told(now_ms) => now_ms(),
        }
    }
}

#[derive(Default)]
struct Inner {
    scripts: BTreeMap<String, Script>,
    containers: BTreeMap<ContainerId, (Container, State, Vec<OwnedFd>)>,
    routes: BTreeMap<String, Arc<Routes>>,
    time: Time,
}

#[derive(Default)]
pub struct FakeRuntime {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl FakeRuntime {
    /// One whose containers start and end at the times of a clock, in milliseconds since 1970. Others count their own calls.
    pub fn timed_by(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let inner = Inner { time: Time::Told(Box::new(now_ms)), ..Inner::default() };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// Says what containers of the image with that digest do.
    pub fn script(&self, digest: &str, script: Script) {
        self.lock().scripts.insert(digest.to_owned(), script);
    }

    /// Ends a running container, as if its guest had.
    pub fn exit(&self, id: &ContainerId, code: i32, reason: &str, message: &str) {
        self.lock().end(id, code, reason, message);
        self.changed.notify_one();
    }

    /// Everything that was started and not removed.
    pub fn started(&self) -> Vec<Container> {
        self.lock().containers.values().map(|(container, ..)| container.clone()).collect()
    }

    /// The table that was last given to a domain.
    pub fn routes(&self, domain: &str) -> Option<Arc<Routes>> {
        self.lock().routes.get(domain).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds this lock")
    }

    fn run(&self, container: Container, sockets: Vec<OwnedFd>) -> Result<ContainerId, Error> {
        let mut inner = self.lock();
        let id = container.id();
        if inner.containers.contains_key(&id) {
            return Ok(id);
        }
        let script = inner.scripts.get(&container.image.digest).cloned().unwrap_or(Script::Serves);
        if let Script::Fails(error) = script {
            return Err(error);
        }
        let state = State::Running { started_at_ms: inner.time.next_ms() };
        inner.containers.insert(id.clone(), (container, state, sockets));
        if let Script::Exits { code } = script {
            inner.end(&id, code, if code == 0 { "Completed" } else { "Error" }, "");
        }
        Ok(id)
    }
}

impl Inner {
    fn end(&mut self, id: &ContainerId, code: i32, reason: &str, message: &str) {
        let finished_at_ms = self.time.next_ms();
        if let Some((_, state, sockets)) = self.containers.get_mut(id)
            && let State::Running { started_at_ms } = *state
        {
            sockets.clear();
            *state = State::Exited { code, reason: reason.to_owned(), message: message.to_owned(), started_at_ms, finished_at_ms };
        }
    }

    /// How long a container takes to end once it is told to.
    fn drains(&self, id: &ContainerId) -> Result<Duration, Error> {
        let State::Running { .. } = self.known(id)? else { return Ok(Duration::ZERO) };
        let digest = self.containers.get(id).map(|(container, ..)| container.image.digest.as_str());
        Ok(match digest.and_then(|digest| self.scripts.get(digest)) {
            Some(Script::Drains(wants)) => *wants,
            _ => Duration::ZERO,
        })
    }

    fn known(&self, id: &ContainerId) -> Result<&State, Error> {
        self.containers.get(id).map(|(_, state, _)| state).ok_or_else(|| Error::NoSuchContainer(id.clone()))
    }
}

impl Runtime for FakeRuntime {
    fn prepare<'a>(&'a self, image: &'a Image) -> Pending<'a, Result<(), Error>> {
        Box::pin(async {
            let script = self.lock().scripts.get(&image.digest).cloned();
            match script {
                Some(Script::Fails(error)) => Err(error),
                Some(Script::Slow(wait)) => {
                    tokio::time::sleep(wait).await;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn start(&self, container: Container, sockets: Vec<OwnedFd>) -> Pending<'_, Result<ContainerId, Error>> {
        Box::pin(async move {
            let id = self.run(container, sockets);
            self.changed.notify_one();
            id
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let (wants, grace) = (self.lock().drains(id)?, Duration::from_millis(grace_ms));
            if !wants.is_zero() {
                tokio::time::sleep(wants.min(grace)).await;
            }
            if wants <= grace {
                self.exit(id, 0, "Completed", "");
            } else {
                self.exit(id, KILLED, "Error", "");
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut inner = self.lock();
            if let State::Running { .. } = inner.known(id)? {
                return Err(Error::Unavailable(format!("container {id} is running")));
            }
            inner.containers.remove(id);
            Ok(())
        })
    }

    fn route(&self, domain: &str, routes: Arc<Routes>) {
        self.lock().routes.insert(domain.to_owned(), routes);
    }

    fn observe(&self) -> Pending<'_, Result<Vec<Observed>, Error>> {
        Box::pin(async { Ok(self.lock().containers.values().map(|(container, state, _)| container.observed(state.clone())).collect()) })
    }

    fn usage(&self) -> Pending<'_, Result<Vec<(ContainerId, Usage)>, Error>> {
        Box::pin(async {
            let inner = self.lock();
            let running = inner.containers.iter().filter(|(_, (_, state, _))| matches!(state, State::Running { .. }));
            Ok(running.map(|(id, _)| (id.clone(), Usage::default())).collect())
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a ContainerId, _log_path: &'a Path) -> Pending<'a, Result<(), Error>> {
        Box::pin(async { self.lock().known(id).map(|_| ()) })
    }

    fn listeners(&self) -> Pending<'_, Result<Vec<(Listener, OwnedFd)>, Error>> {
        Box::pin(async {
            let inner = self.lock();
            let mut all = Vec::new();
            for (container, _, sockets) in inner.containers.values() {
                for (listen, socket) in container.listen.iter().zip(sockets) {
                    let copy = socket.try_clone().map_err(|error| Error::Unavailable(error.to_string()))?;
                    all.push((Listener { pod_uid: container.pod_uid.clone(), listen: *listen }, copy));
                }
            }
            Ok(all)
        })
    }

    fn changed(&self) -> Pending<'_, ()> {
        Box::pin(self.changed.notified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[tokio::test]
    async fn the_fake_keeps_the_contract() {
        let fake = FakeRuntime::default();
        fake.script("sha256:42", Script::Exits { code: 42 });
        fake.script("sha256:0", Script::Exits { code: 0 });
        fake.script("sha256:text", Script::Fails(Error::NotRunnable("text".into())));
        let image = |digest: &str| Image { digest: digest.into(), path: "/nowhere".into() };
        let subjects = contract::Subjects {
            serves: image("sha256:http"),
            exits_42: image("sha256:42"),
            completes: image("sha256:0"),
            not_wasm: image("sha256:text"),
        };
        contract::check(&fake, &subjects, Path::new("/nowhere")).await;
    }
}
