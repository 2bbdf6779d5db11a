//! Kept-alive connections to pods.
//!
//! Connections to pods that left the table are dropped with it. One is kept for less time than servers in pods keep theirs, so that it is
//! rarely the pod that closes first.
use super::reply::Upload;
use crate::Network;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// How long a pod may take to accept.
const CONNECT: Duration = Duration::from_secs(3);
const IDLE_FOR: Duration = Duration::from_secs(15);
/// Idle connections kept to one pod: as many requests as one pod does at once without trouble.
const IDLE_PER_POD: usize = 64;
/// How long a connection that was just used may take to be ready again; it is one turn of a task.
const TURN: Duration = Duration::from_millis(20);

pub struct Pool {
    network: Arc<Network>,
    tracker: TaskTracker,
    /// Has an entry for each pod in the table, and only for those.
    idle: Mutex<HashMap<SocketAddr, Vec<Idle>>>,
}

struct Idle {
    sender: SendRequest<Upload>,
    since: Instant,
}

/// A connection in use.
pub struct Lease {
    pub sender: SendRequest<Upload>,
    /// It served a request before.
    pub is_used: bool,
    address: SocketAddr,
    pool: Arc<Pool>,
}

impl Pool {
    pub fn new(network: Arc<Network>, tracker: TaskTracker) -> Self {
        Self { network, tracker, idle: Mutex::default() }
    }

    /// Keeps connections to these and closes idle ones to others, and those that idled long enough.
    pub fn keep(&self, pods: HashSet<SocketAddr>) {
        let mut idle = self.lock();
        idle.retain(|address, connections| {
            connections.retain(Idle::is_fresh);
            pods.contains(address)
        });
        for pod in pods {
            idle.entry(pod).or_default();
        }
    }

    /// A kept connection, or a new one.
    pub async fn connection(self: &Arc<Self>, address: SocketAddr) -> io::Result<Lease> {
        while let Some(mut sender) = self.take(address) {
            if let Ok(Ok(())) = timeout(TURN, sender.ready()).await {
                return Ok(self.lease(address, sender, true));
            }
        }
        self.new_connection(address).await
    }

    pub async fn new_connection(self: &Arc<Self>, address: SocketAddr) -> io::Result<Lease> {
        let stream = self.network.dial(address, CONNECT).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends when its sender is dropped or the pod closes; an error is told to whoever waits for an answer.
        self.tracker.spawn(async move { drop(connection.with_upgrades().await) });
        Ok(self.lease(address, sender, false))
    }

    fn lease(self: &Arc<Self>, address: SocketAddr, sender: SendRequest<Upload>, is_used: bool) -> Lease {
        Lease { sender, is_used, address, pool: Arc::clone(self) }
    }

    /// The connection that idled least: the others may grow old and go.
    fn take(&self, address: SocketAddr) -> Option<SendRequest<Upload>> {
        let mut idle = self.lock();
        let newest = idle.get_mut(&address)?.pop()?;
        (newest.is_fresh()).then_some(newest.sender)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Idle>>> {
        // Every change is a single push, pop or retain.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE_FOR && !self.sender.is_closed()
    }
}

impl Lease {
    /// Puts the connection back, unless its pod left the table or has enough of them.
    pub fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.lock();
        if let Some(connections) = idle.get_mut(&self.address).filter(|connections| connections.len() < IDLE_PER_POD) {
            connections.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}
