//! All containers of this runner, and what they share: the engine, loaded code, the routing table.
use crate::{
    Error,
    accept::Doors,
    agent::Agent,
    command,
    ending::Ending,
    engine,
    http::Served,
    live::{Live, REQUESTS_MAX},
    load::{self, Loaded, Program},
    log::Log,
};
use knarr_runtime::{Container, ContainerId, Error as Refusal, Listener, Observed, Routes, Usage, protocol::Code, seal};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, RwLock, Weak},
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;

/// Containers in one runner: more would not fit the descriptors that a process may have.
const CONTAINERS_MAX: usize = 10_000;

/// Which containers changed since the agent was last told. At most one entry for each container.
#[derive(Default)]
pub struct Changes {
    ids: Mutex<BTreeSet<ContainerId>>,
    pub some: Notify,
}

impl Changes {
    pub fn note(&self, id: ContainerId) {
        self.ids.lock().expect("the lock of changes is never poisoned").insert(id);
        self.some.notify_one();
    }

    pub fn take(&self) -> BTreeSet<ContainerId> {
        std::mem::take(&mut *self.ids.lock().expect("the lock of changes is never poisoned"))
    }
}

pub struct Containers {
    pub engine: Engine,
    pub agent: Agent,
    pub changes: Arc<Changes>,
    /// Where guests run.
    pub guests: Handle,
    doors: Arc<Doors>,
    key: RwLock<Option<seal::Key>>,
    routes: RwLock<Arc<Routes>>,
    all: Mutex<BTreeMap<ContainerId, Held>>,
    serving: Mutex<HashMap<SocketAddr, Arc<Served>>>,
    loaded: Mutex<HashMap<String, Weak<Loaded>>>,
    /// Cancelled when the agent wants this runner to end.
    pub over: CancellationToken,
}

struct Held {
    live: Arc<Live>,
    /// Keeps the code shared with later containers of the same image.
    _loaded: Arc<Loaded>,
    listeners: Vec<Arc<TcpListener>>,
}

/// What comes with a container: see `Call::Start`.
pub struct Handed {
    pub code: File,
    pub log: File,
    pub listeners: Vec<OwnedFd>,
    pub mounts: Vec<OwnedFd>,
}

impl Containers {
    pub fn new(guests: Handle, agent: Agent) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            engine: engine::running()?,
            agent,
            changes: Arc::default(),
            doors: Doors::open(guests.clone())?,
            guests,
            key: RwLock::default(),
            routes: RwLock::default(),
            all: Mutex::default(),
            serving: Mutex::default(),
            loaded: Mutex::default(),
            over: CancellationToken::new(),
        }))
    }

    pub fn unlock(&self, key: seal::Key) {
        *self.key.write().expect(POISON) = Some(key);
    }

    pub fn route(&self, routes: Arc<Routes>) {
        let mut held = self.routes.write().expect(POISON);
        if held.version <= routes.version {
            *held = routes;
        }
    }

    pub fn routes(&self) -> Arc<Routes> {
        self.routes.read().expect(POISON).clone()
    }

    /// The container of this runner that serves an address.
    pub fn serving(&self, address: SocketAddr) -> Option<Arc<Served>> {
        self.serving.lock().expect(POISON).get(&address).cloned()
    }

    pub fn start(self: &Arc<Self>, container: Container, code: &Code, handed: Handed) -> Result<(), Error> {
        let id = container.id();
        {
            let all = self.all.lock().expect(POISON);
            if all.contains_key(&id) {
                return Ok(());
            }
            if all.len() >= CONTAINERS_MAX {
                return Err(Refusal::Unavailable(format!("this runner holds {CONTAINERS_MAX} containers")).into());
            }
        }
        let loaded = self.load(code, handed.code)?;
        let program = loaded.program(container.run_as_command)?;
        let listeners: Vec<Arc<TcpListener>> = handed.listeners.into_iter().map(|fd| Arc::new(TcpListener::from(fd))).collect();
        let live = Live::new(container, handed.mounts, Log::new(handed.log), self.changes.clone());
        self.all.lock().expect(POISON).insert(id.clone(), Held { live: live.clone(), _loaded: loaded, listeners: listeners.clone() });
        self.changes.note(id);
        match program {
            Program::Serve(pre) => {
                let served = Arc::new(Served { containers: self.clone(), live: live.clone(), pre });
                if let Err(error) = self.serve(&served, &listeners) {
                    self.close(&live);
                    self.all.lock().expect(POISON).remove(&live.container.id());
                    return Err(error);
                }
            }
            Program::Run(pre) => drop(self.guests.spawn(command::run(self.clone(), live, pre))),
            Program::RunCore(pre) => drop(self.guests.spawn(command::run_core(self.clone(), live, pre))),
        }
        Ok(())
    }

    fn serve(&self, served: &Arc<Served>, listeners: &[Arc<TcpListener>]) -> Result<(), Error> {
        for (listen, listener) in served.live.container.listen.iter().zip(listeners) {
            self.serving.lock().expect(POISON).insert(listen.address, served.clone());
            self.doors.add(listener.clone(), served.clone())?;
        }
        Ok(())
    }

    fn load(&self, code: &Code, file: File) -> Result<Arc<Loaded>, Error> {
        let key = self.key.read().expect(POISON).clone().ok_or_else(|| Refusal::Unavailable("no key was given".into()))?;
        let mut loaded = self.loaded.lock().expect(POISON);
        if let Some(known) = loaded.get(&code.wasm_digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let fresh = Arc::new(load::load(&self.engine, &key, code, file)?);
        loaded.retain(|_, weak| weak.strong_count() > 0);
        loaded.insert(code.wasm_digest.clone(), Arc::downgrade(&fresh));
        Ok(fresh)
    }

    /// Takes no new connection for a container.
    pub fn close(&self, live: &Live) {
        self.doors.close(live);
        let mut serving = self.serving.lock().expect(POISON);
        for listen in &live.container.listen {
            // A later container of the pod may serve the address by now.
            if serving.get(&listen.address).is_some_and(|served| std::ptr::eq(&*served.live, live)) {
                serving.remove(&listen.address);
            }
        }
        drop(serving);
        if let Some(held) = self.all.lock().expect(POISON).get_mut(&live.container.id()) {
            held.listeners.clear();
        }
    }

    /// Ends a container of its own accord: nobody connects to what has crashed.
    pub fn end(&self, live: &Live, ending: Ending) {
        self.close(live);
        live.end(ending);
    }

    pub async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<Observed, Error> {
        let live = self.find(id)?;
        if !live.is_running() {
            return Ok(live.observed());
        }
        self.close(&live);
        live.closing.cancel();
        let ending = if live.container.listen.is_empty() {
            Ending::terminated()
        } else {
            match tokio::time::timeout(grace, live.in_flight.acquire_many(REQUESTS_MAX)).await {
                Ok(_) => Ending::stopped(),
                Err(_) => Ending::killed(),
            }
        };
        live.end(ending);
        live.killed.cancel();
        Ok(live.observed())
    }

    /// Stops every container at once.
    pub async fn stop_all(&self, grace: Duration) {
        let ids: Vec<_> = self.all.lock().expect(POISON).keys().cloned().collect();
        // One that was removed meanwhile has ended, too.
        drop(futures_util::future::join_all(ids.iter().map(|id| self.stop(id, grace))).await);
    }

    pub fn remove(&self, id: &ContainerId) -> Result<(), Error> {
        if self.find(id)?.is_running() {
            return Err(Refusal::Unavailable(format!("container {id} is running")).into());
        }
        self.all.lock().expect(POISON).remove(id);
        Ok(())
    }

    pub fn reopen(&self, id: &ContainerId, file: File) -> Result<(), Error> {
        self.find(id)?.log.reopen(file);
        Ok(())
    }

    pub fn find(&self, id: &ContainerId) -> Result<Arc<Live>, Error> {
        let all = self.all.lock().expect(POISON);
        all.get(id).map(|held| held.live.clone()).ok_or_else(|| Refusal::NoSuchContainer(id.clone()).into())
    }

    pub fn observe(&self) -> Vec<Observed> {
        self.all.lock().expect(POISON).values().map(|held| held.live.observed()).collect()
    }

    pub fn usage(&self) -> Vec<(ContainerId, Usage)> {
        let all = self.all.lock().expect(POISON);
        all.iter().filter(|(_, held)| held.live.is_running()).map(|(id, held)| (id.clone(), held.live.usage())).collect()
    }

    /// Duplicates of up to `most` listeners, and whether there are more.
    pub fn listeners(&self, skip: usize, most: usize) -> Result<(Vec<Listener>, Vec<OwnedFd>, bool), Error> {
        let all = self.all.lock().expect(POISON);
        let held = all.values().flat_map(|held| {
            let container = &held.live.container;
            container
                .listen
                .iter()
                .zip(&held.listeners)
                .map(|(listen, fd)| (Listener { pod_uid: container.pod_uid.clone(), listen: *listen }, fd))
        });
        let (mut names, mut descriptors) = (Vec::new(), Vec::new());
        for (name, listener) in held.skip(skip) {
            if names.len() == most {
                return Ok((names, descriptors, true));
            }
            descriptors.push(listener.try_clone()?.into());
            names.push(name);
        }
        Ok((names, descriptors, false))
    }

    pub fn is_empty(&self) -> bool {
        self.all.lock().expect(POISON).is_empty()
    }
}

/// Nothing panics while it holds one of these locks.
const POISON: &str = "a lock of the containers is never poisoned";
