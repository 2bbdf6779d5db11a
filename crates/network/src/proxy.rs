//! The service proxy: cluster IPs and node ports, carried to pods in userspace.
//!
//! A port with nobody ready behind it has no listener, so that the kernel refuses at once. Connections live on when their endpoint leaves the table;
//! only new ones avoid it. TCP only: UDP comes with DNS. The pod sees the node as the source of what comes through here. Cost: two descriptors and 16 KiB of
//! buffers a connection.
mod fronts;

pub use fronts::{Front, Target, fronts};

use crate::{
    Network,
    sockets::{self, Place},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long an endpoint may take to accept: pods are near.
const CONNECT: Duration = Duration::from_secs(3);
/// How many endpoints a connection tries: more dead ones than that at once is an outage, and its client should hear of it.
const TRIES: usize = 3;
/// A node's descriptors are 20,000 on small machines; this many connections take half of them.
const CONNECTIONS: usize = 5_000;
/// After `accept` failed (no descriptors are left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// The running listeners. Owned by the network's loop, which alone changes them.
pub struct Proxy {
    network: Arc<Network>,
    running: BTreeMap<Front, Running>,
    tracker: TaskTracker,
    /// One permit a connection.
    room: Arc<Semaphore>,
}

struct Running {
    target: Arc<ArcSwap<Target>>,
    stop: CancellationToken,
}

/// A port that could not be bound.
pub struct Conflict {
    pub front: Front,
    pub target: Target,
    pub error: io::Error,
}

impl Proxy {
    pub fn new(network: Arc<Network>) -> Self {
        Self { network, running: BTreeMap::new(), tracker: TaskTracker::new(), room: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Makes the listeners those that are wanted. Says which could not be bound; they are tried again at the next call.
    pub fn apply(&mut self, wanted: BTreeMap<Front, Target>) -> Vec<Conflict> {
        self.running.retain(|front, running| {
            let stays = wanted.contains_key(front);
            if !stays {
                running.stop.cancel();
            }
            stays
        });
        let mut conflicts = Vec::new();
        for (front, target) in wanted {
            match self.running.get(&front) {
                Some(running) if **running.target.load() == target => {}
                Some(running) => running.target.store(Arc::new(target)),
                None => match self.place(front).listener(front.address()) {
                    Ok(listener) => self.start(front, listener, target),
                    Err(error) => conflicts.push(Conflict { front, target, error }),
                },
            }
        }
        conflicts
    }

    fn place(&self, front: Front) -> Place {
        match front {
            Front::ClusterIp(address) => self.network.place_of(address.ip()),
            Front::NodePort(_) => Place::Host,
        }
    }

    fn start(&mut self, front: Front, listener: TcpListener, target: Target) {
        let running = Running { target: Arc::new(ArcSwap::from_pointee(target)), stop: CancellationToken::new() };
        let door = Door {
            network: Arc::clone(&self.network),
            target: Arc::clone(&running.target),
            room: Arc::clone(&self.room),
            turn: AtomicUsize::new(0),
        };
        let (stop, tracker) = (running.stop.clone(), self.tracker.clone());
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = accept(listener, Arc::new(door), tracker) => {}
            }
        });
        self.running.insert(front, running);
    }

    /// Closes all listeners. Connections are left to end by themselves or with the process.
    pub fn close(&mut self) {
        self.running.values().for_each(|running| running.stop.cancel());
        self.running.clear();
        self.tracker.close();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

struct Door {
    network: Arc<Network>,
    target: Arc<ArcSwap<Target>>,
    room: Arc<Semaphore>,
    turn: AtomicUsize,
}

async fn accept(listener: TcpListener, door: Arc<Door>, tracker: TaskTracker) {
    loop {
        let Ok(permit) = Arc::clone(&door.room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, from)) => {
                let door = Arc::clone(&door);
                tracker.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = carry(client, from, &door).await {
                        tracing::debug!(%from, %error, "a connection to a Service ended with an error");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections to a Service");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn carry(mut client: TcpStream, from: SocketAddr, door: &Door) -> io::Result<()> {
    sockets::settle(&client)?;
    let mut pod = reach(from.ip(), door).await?;
    tokio::io::copy_bidirectional(&mut client, &mut pod).await.map(drop)
}

async fn reach(client: IpAddr, door: &Door) -> io::Result<TcpStream> {
    let target = door.target.load_full();
    let mut last = io::Error::from(io::ErrorKind::ConnectionRefused);
    for endpoint in target.in_turn(door.turn.fetch_add(1, Ordering::Relaxed), client).take(TRIES) {
        match door.network.dial(endpoint, CONNECT).await {
            Ok(pod) => return Ok(pod),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Node ports answer on every address of the host.
const ANYWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

impl Front {
    pub fn address(self) -> SocketAddr {
        match self {
            Self::ClusterIp(address) => address,
            Self::NodePort(port) => SocketAddr::from((ANYWHERE, port)),
        }
    }
}
