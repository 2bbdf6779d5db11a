//! The Runtime that the node agent is given.
use crate::{
    Config,
    cache::Cache,
    compile::Compiler,
    descriptors,
    domain::Domain,
    link::{Gone, Link},
    spawn::Places,
    users::Users,
};
use knarr_runtime::{
    Container, ContainerId, Error, Image, Listener, Observed, Pending, Routes, Runtime, State, Usage,
    protocol::{Call, Code, Reply},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A runner may end of idleness just when it is called. The second one it is called on is fresh.
const TRIES: usize = 3;

pub struct WasmRuntime {
    config: Config,
    cache: Arc<Cache>,
    compiler: Compiler,
    places: Arc<Places>,
    domains: Mutex<BTreeMap<String, Arc<Domain>>>,
    changed: Arc<Notify>,
    let_go: CancellationToken,
    /// Runners outlive this; the tasks that listen to them do not.
    _let_go: DropGuard,
}

impl WasmRuntime {
    /// Opens the data folder and adopts the runners that are there.
    pub async fn open(config: Config) -> Result<Arc<Self>, Error> {
        fs::create_dir_all(&config.data_dir).map_err(|error| Error::Unavailable(format!("{}: {error}", config.data_dir.display())))?;
        let cache = Arc::new(Cache::open(&config.data_dir)?);
        let users = Arc::new(Users::open(config.data_dir.join("users.json"), config.uid_base)?);
        let places = Arc::new(Places::open(config.clone(), users.clone())?);
        let let_go = CancellationToken::new();
        let runtime = Arc::new(Self {
            compiler: Compiler::new(cache.clone(), config.clone(), &users),
            cache,
            places,
            domains: Mutex::default(),
            changed: Arc::default(),
            _let_go: let_go.clone().drop_guard(),
            let_go,
            config,
        });
        for process in runtime.places.left_behind() {
            let domain = runtime.domain_of(&process);
            let mut held = domain.link.lock().await;
            match runtime.adopt(&domain).await {
                Ok(link) => *held = Some(link),
                Err(error) => tracing::info!(process, %error, "no runner is left to adopt"),
            }
        }
        Ok(runtime)
    }

    /// The folder that all volumes of a domain's pods must lie below.
    pub fn domain_root(&self, domain: &str) -> Result<PathBuf, Error> {
        Ok(self.places.root(self.places.process(domain)?))
    }

    /// Ends every runner: what is in flight has `grace` to come to its end. The agent must be gone by then, or it starts everything again.
    pub async fn shutdown(&self, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let domains = self.all();
        let ends = domains.iter().map(|domain| async move {
            if let Some(link) = self.link_of(domain).await {
                // A runner that is gone already needs no telling.
                drop(link.call(Call::End { grace_ms }, vec![]).await);
            }
        });
        futures_util::future::join_all(ends).await;
    }

    fn domain(&self, domain: &str) -> Result<Arc<Domain>, Error> {
        Ok(self.domain_of(self.places.process(domain)?))
    }

    fn domain_of(&self, process: &str) -> Arc<Domain> {
        let mut domains = self.domains.lock().expect(POISON);
        domains.entry(process.to_owned()).or_insert_with(|| Domain::new(process, self.changed.clone())).clone()
    }

    fn all(&self) -> Vec<Arc<Domain>> {
        self.domains.lock().expect(POISON).values().cloned().collect()
    }

    fn holder(&self, id: &ContainerId) -> Result<(Arc<Domain>, Observed), Error> {
        let found = self.all().into_iter().find_map(|domain| domain.find(id).map(|seen| (domain, seen)));
        found.ok_or_else(|| Error::NoSuchContainer(id.clone()))
    }

    /// Connects to a runner that is there and learns what it holds.
    async fn adopt(&self, domain: &Arc<Domain>) -> Result<Arc<Link>, Error> {
        let gone = |error: io::Error| Error::Unavailable(error.to_string());
        let stream = self.places.connect(domain.name()).await.map_err(gone)?;
        let link = Link::open(stream, None, domain, self.config.connect.clone(), self.let_go.clone());
        self.greet(domain, &link).await?;
        tracing::info!(process = domain.name(), containers = domain.observe().len(), "runner adopted");
        Ok(link)
    }

    async fn greet(&self, domain: &Arc<Domain>, link: &Link) -> Result<(), Error> {
        link.call(Call::Hello { key: self.cache.key().clone() }, vec![]).await?;
        if let (Reply::Observed(all), _) = link.call(Call::Observe, vec![]).await? {
            all.into_iter().for_each(|seen| domain.saw(seen));
        }
        Ok(())
    }

    /// The domain's runner: the one it has, one that is left from before, or a new one.
    async fn link(&self, domain: &Arc<Domain>) -> Result<Arc<Link>, Error> {
        let mut held = domain.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        let link = match self.adopt(domain).await {
            Ok(link) => link,
            Err(_) => {
                self.places.ended(domain.name());
                let (stream, child) = self.places.spawn(domain.name()).await?;
                let link = Link::open(stream, Some(child), domain, self.config.connect.clone(), self.let_go.clone());
                self.greet(domain, &link).await?;
                link
            }
        };
        *held = Some(link.clone());
        Ok(link)
    }

    /// The runner that holds a container, if it is still there.
    async fn link_of(&self, domain: &Domain) -> Option<Arc<Link>> {
        domain.link.lock().await.as_ref().filter(|link| link.is_open()).cloned()
    }

    async fn start_in(&self, domain: &Arc<Domain>, container: &Container, sockets: &[OwnedFd]) -> Result<(), Error> {
        let (mut code, mut file) = self.compiler.code(&container.image).await?;
        let mut handed = self.descriptors(domain, container).await?;
        for socket in sockets.iter().rev() {
            handed.insert(1, socket.try_clone().map_err(exhausted)?);
        }
        for _ in 0..TRIES {
            let link = self.link(domain).await?;
            match call_start(&link, container, &code, &file, &handed).await {
                Ok(Reply::Done) => return Ok(()),
                Ok(Reply::Unsealed) => {
                    self.compiler.distrust(&container.image).await?;
                    (code, file) = self.compiler.code(&container.image).await?;
                }
                Ok(Reply::Refused(error)) => return Err(error),
                Ok(other) => return Err(Error::Unavailable(format!("the runner answered a start with {other:?}"))),
                Err(Failed::Runner) => {}
                Err(Failed::Here(error)) => return Err(error),
            }
        }
        Err(Error::Unavailable(format!("the runner of {} ends as soon as it is called", domain.name())))
    }

    /// The log, then the mounts.
    async fn descriptors(&self, domain: &Domain, container: &Container) -> Result<Vec<OwnedFd>, Error> {
        let (root, owner) = (self.places.root(domain.name()), self.places.user(domain.name())?);
        let container = container.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let mut all = vec![OwnedFd::from(descriptors::log(&container.log_path)?)];
            all.extend(descriptors::mounts(&container, &root, owner)?);
            Ok(all)
        });
        opened.await.map_err(|error| Error::Unavailable(error.to_string()))?
    }
}

enum Failed {
    Runner,
    Here(Error),
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self::Runner
    }
}

async fn call_start(link: &Link, container: &Container, code: &Code, file: &File, handed: &[OwnedFd]) -> Result<Reply, Failed> {
    let mut descriptors = vec![file.try_clone().map_err(|error| Failed::Here(exhausted(error)))?.into()];
    for descriptor in handed {
        descriptors.push(descriptor.try_clone().map_err(|error| Failed::Here(exhausted(error)))?);
    }
    let call = Call::Start { container: Box::new(container.clone()), code: code.clone() };
    Ok(link.call(call, descriptors).await?.0)
}

/// Duplicating fails only where the process has no descriptor left.
fn exhausted(error: io::Error) -> Error {
    Error::Unavailable(format!("the agent is out of file descriptors: {error}"))
}

fn done(reply: Reply) -> Result<(), Error> {
    match reply {
        Reply::Refused(error) => Err(error),
        _ => Ok(()),
    }
}

impl Runtime for WasmRuntime {
    fn prepare<'a>(&'a self, image: &'a Image) -> Pending<'a, Result<(), Error>> {
        Box::pin(async { self.compiler.code(image).await.map(|_| ()) })
    }

    fn start(&self, container: Container, sockets: Vec<OwnedFd>) -> Pending<'_, Result<ContainerId, Error>> {
        Box::pin(async move {
            let (id, domain) = (container.id(), self.domain(&container.domain)?);
            if domain.find(&id).is_none() {
                self.start_in(&domain, &container, &sockets).await?;
                domain.began(&container);
            }
            Ok(id)
        })
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let (domain, seen) = self.holder(id)?;
            if let (State::Running { .. }, Some(link)) = (seen.state, self.link_of(&domain).await) {
                match link.call(Call::Stop { id: id.clone(), grace_ms }, vec![]).await {
                    Ok((Reply::Ended(seen), _)) => domain.saw(seen),
                    Ok((reply, _)) => return done(reply),
                    // With its runner it has ended, too.
                    Err(Gone) => {}
                }
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let (domain, seen) = self.holder(id)?;
            if let State::Running { .. } = seen.state {
                return Err(Error::Unavailable(format!("container {id} is running")));
            }
            if let Some(link) = self.link_of(&domain).await {
                match link.call(Call::Remove { id: id.clone() }, vec![]).await {
                    // It ended with the runner before this one.
                    Ok((Reply::Refused(Error::NoSuchContainer(_)), _)) | Err(Gone) => {}
                    Ok((reply, _)) => done(reply)?,
                }
            }
            domain.forget(id);
            Ok(())
        })
    }

    fn route(&self, domain: &str, routes: Arc<Routes>) {
        match self.domain(domain) {
            Ok(domain) => domain.route(routes),
            Err(error) => tracing::warn!(domain, %error, "a routing table has no runner to go to"),
        }
    }

    fn observe(&self) -> Pending<'_, Result<Vec<Observed>, Error>> {
        Box::pin(async { Ok(self.all().iter().flat_map(|domain| domain.observe()).collect()) })
    }

    fn usage(&self) -> Pending<'_, Result<Vec<(ContainerId, Usage)>, Error>> {
        Box::pin(async {
            let mut all = Vec::new();
            for domain in self.all() {
                let Some(link) = self.link_of(&domain).await else { continue };
                if let Ok((Reply::Usage(part), _)) = link.call(Call::Usage, vec![]).await {
                    all.extend(part);
                }
            }
            Ok(all)
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a ContainerId, log_path: &'a Path) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let (domain, _) = self.holder(id)?;
            let file = descriptors::log(log_path)?;
            match self.link_of(&domain).await {
                Some(link) => done(link.call(Call::Reopen { id: id.clone() }, vec![file.into()]).await?.0),
                None => Ok(()),
            }
        })
    }

    fn listeners(&self) -> Pending<'_, Result<Vec<(Listener, OwnedFd)>, Error>> {
        Box::pin(async {
            let mut all = Vec::new();
            for domain in self.all() {
                let Some(link) = self.link_of(&domain).await else { continue };
                let mut skip = 0;
                while let Ok((Reply::Listeners { listeners, more }, descriptors)) = link.call(Call::Listeners { skip }, vec![]).await {
                    skip += listeners.len();
                    all.extend(listeners.into_iter().zip(descriptors));
                    if !more {
                        break;
                    }
                }
            }
            Ok(all)
        })
    }

    fn changed(&self) -> Pending<'_, ()> {
        Box::pin(self.changed.notified())
    }
}

const POISON: &str = "the lock of the domains is never poisoned";
