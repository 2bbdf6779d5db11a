//! One connection to a runner: calls that wait for their replies, and what the runner says of its own accord.
use crate::{Connect, domain::Domain};
use knarr_runtime::{
    Error, Routes,
    connection::{self, Receiver, Sender},
    protocol::{Call, ConnectError, FromRunner, Reply, ToRunner},
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UnixStream,
    process::Child,
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Connections made for one runner at once.
const CONNECTS_MAX: usize = 1_024;
/// A guest waits this long at most.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// From the end of the connection to the end of the process.
const REAP_LIMIT: Duration = Duration::from_secs(2);

/// The runner is gone.
#[derive(Debug)]
pub struct Gone;

impl From<Gone> for Error {
    fn from(_: Gone) -> Self {
        Self::Unavailable("the runner ended".into())
    }
}

type Answer = (Reply, Vec<OwnedFd>);

pub struct Link {
    sender: Sender,
    /// None: the connection is gone, and nobody may wait any more.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    next: AtomicU64,
    /// Cancelled by the runtime that is dropped: the runner stays.
    let_go: CancellationToken,
}

impl Link {
    /// Begins to speak. `child`: the process, when it is this agent's own.
    pub fn open(
        stream: UnixStream,
        child: Option<Child>,
        domain: &Arc<Domain>,
        connect: Arc<dyn Connect>,
        let_go: CancellationToken,
    ) -> Arc<Self> {
        let (sender, receiver) = connection::open(stream);
        let link = Arc::new(Self { sender, waiting: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(0), let_go });
        tokio::spawn(link.clone().follow(receiver, child, domain.clone(), connect));
        tokio::spawn(link.clone().push(domain.routes()));
        link
    }

    pub fn is_open(&self) -> bool {
        self.waiting.lock().expect(POISON).is_some()
    }

    pub async fn call(&self, call: Call, descriptors: Vec<OwnedFd>) -> Result<Answer, Gone> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (replied, reply) = oneshot::channel();
        self.waiting.lock().expect(POISON).as_mut().ok_or(Gone)?.insert(id, replied);
        self.sender.send(&ToRunner::Call { id, call }, descriptors).await.map_err(|error| {
            tracing::warn!(%error, "a call could not be sent");
            Gone
        })?;
        reply.await.map_err(|_| Gone)
    }

    /// Gives the runner each new routing table.
    async fn push(self: Arc<Self>, mut routes: watch::Receiver<Arc<Routes>>) {
        loop {
            let table = routes.borrow_and_update().clone();
            if self.sender.send(&ToRunner::Route(table), vec![]).await.is_err() || !self.is_open() {
                return;
            }
            tokio::select! {
                changed = routes.changed() => if changed.is_err() { return },
                () = self.let_go.cancelled() => return,
            }
        }
    }

    /// Reads until the runner is gone, and says what became of its containers.
    async fn follow(self: Arc<Self>, mut receiver: Receiver, child: Option<Child>, domain: Arc<Domain>, connect: Arc<dyn Connect>) {
        let connects = Arc::new(Semaphore::new(CONNECTS_MAX));
        let ended = tokio::select! {
            ended = self.listen(&mut receiver, &domain, &connect, &connects) => ended,
            () = self.let_go.cancelled() => return,
        };
        if let Err(error) = ended {
            tracing::warn!(domain = %domain.name(), %error, "the runner's connection broke");
        }
        let how = match child {
            Some(child) => reap(child).await,
            None => "its connection is closed".into(),
        };
        domain.lost(&how);
        // After what it held is marked as ended: who waits must not see it run.
        *self.waiting.lock().expect(POISON) = None;
    }

    async fn listen(
        &self,
        receiver: &mut Receiver,
        domain: &Arc<Domain>,
        connect: &Arc<dyn Connect>,
        connects: &Arc<Semaphore>,
    ) -> io::Result<()> {
        while let Some((message, descriptors)) = receiver.receive::<FromRunner>().await? {
            match message {
                FromRunner::Reply { id, reply } => {
                    let waiting = self.waiting.lock().expect(POISON).as_mut().and_then(|all| all.remove(&id));
                    // Who asked may have given up.
                    if let Some(replied) = waiting {
                        let _ = replied.send((reply, descriptors));
                    }
                }
                FromRunner::Changed(seen) => domain.saw(seen),
                FromRunner::Connect { id, address } => {
                    let Ok(permit) = connects.clone().try_acquire_owned() else {
                        self.connected(id, Err(ConnectError::Unreachable)).await;
                        continue;
                    };
                    let (sender, routes, connect) = (self.sender.clone(), domain.routes().borrow().clone(), connect.clone());
                    tokio::spawn(async move {
                        let outcome = dial(&routes, &*connect, address).await;
                        answer(&sender, id, outcome).await;
                        drop(permit);
                    });
                }
            }
        }
        Ok(())
    }

    async fn connected(&self, id: u64, outcome: Result<OwnedFd, ConnectError>) {
        answer(&self.sender, id, outcome).await;
    }
}

async fn answer(sender: &Sender, id: u64, outcome: Result<OwnedFd, ConnectError>) {
    let (outcome, descriptors) = match outcome {
        Ok(socket) => (Ok(()), vec![socket]),
        Err(error) => (Err(error), vec![]),
    };
    // A runner that is gone shows itself to the reader.
    let _ = sender.send(&ToRunner::Connected { id, outcome }, descriptors).await;
}

/// The runner resolved and checked the address already. It may be in a guest's hands, so it is checked again by the agent's own table.
async fn dial(routes: &Routes, connect: &dyn Connect, address: SocketAddr) -> Result<OwnedFd, ConnectError> {
    if !routes.allows(address) {
        return Err(ConnectError::Prohibited);
    }
    match timeout(CONNECT_LIMIT, connect.connect(address)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(ConnectError::Refused),
        Ok(Err(_)) => Err(ConnectError::Unreachable),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

async fn reap(mut child: Child) -> String {
    match timeout(REAP_LIMIT, child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            // A runner without a connection to its agent would be lost: nothing could stop its guests.
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "a runner that no longer answers could not be ended");
            }
            "it no longer answered".into()
        }
    }
}

const POISON: &str = "the lock of a link is never poisoned";
