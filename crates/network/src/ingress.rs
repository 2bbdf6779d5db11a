//! The Ingress: HTTP and HTTPS from outside, by host and path, to pods.
//!
//! Ingresses without a class or of class `knarr` are ours. The rules and their endpoints are one table, replaced whole: an endpoint that left
//! it is not picked any more, requests in flight go on.
mod certificates;
mod forward;
mod front;
mod headers;
mod pool;
mod reply;
mod status;
mod table;

use crate::{Error, IngressConfig, Network, Result, backends::Backends, sockets::Place};
use arc_swap::ArcSwap;
use certificates::Certificates;
use forward::Forwarder;
use knarr_cluster::{Cluster, Shelf, views::Ingress};
use pool::Pool;
use status::Statuses;
use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};
use table::Table;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long requests in flight may take to end when the node stops.
const DRAIN: Duration = Duration::from_secs(10);

/// The bound sockets, not yet served.
pub struct Sockets {
    http: Option<std::net::TcpListener>,
    https: Option<std::net::TcpListener>,
    config: IngressConfig,
}

impl Sockets {
    pub fn bind(config: &IngressConfig) -> Result<Self> {
        let bind = |address: Option<SocketAddr>| {
            let listen = |address| Place::Host.listen(address).map_err(|source| Error::Listen { what: "the Ingress", address, source });
            address.map(listen).transpose()
        };
        Ok(Self { http: bind(config.http)?, https: bind(config.https)?, config: config.clone() })
    }

    /// Where they are bound: HTTP and HTTPS.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let address = |socket: &Option<std::net::TcpListener>| socket.as_ref().and_then(|socket| socket.local_addr().ok());
        (address(&self.http), address(&self.https))
    }
}

/// The running Ingress of a node.
pub struct Ingresses {
    table: Arc<ArcSwap<Table>>,
    certificates: Arc<Certificates>,
    pool: Arc<Pool>,
    statuses: Statuses,
    tracker: TaskTracker,
}

impl Ingresses {
    /// Serves until `stop`. Needs a tokio runtime to be running.
    pub fn start(sockets: Sockets, network: Arc<Network>, cluster: Cluster, stop: CancellationToken) -> Result<Self> {
        let tracker = TaskTracker::new();
        let table = Arc::new(ArcSwap::default());
        let certificates = Arc::new(Certificates::new()?);
        let pool = Arc::new(Pool::new(network, tracker.clone()));
        let forwarder = Arc::new(Forwarder::new(Arc::clone(&table), Arc::clone(&pool), tracker.clone()));
        let tls = front::tls(&certificates)?;
        front::serve(sockets.http, None, &forwarder, &tracker, &stop)?;
        front::serve(sockets.https, Some(tls), &forwarder, &tracker, &stop)?;
        let statuses = Statuses::new(cluster, sockets.config.address);
        Ok(Self { table, certificates, pool, statuses, tracker })
    }

    /// Takes what the shelf says now.
    pub fn apply(&mut self, shelf: &Shelf, backends: &Backends) {
        let mut ingresses = shelf.views::<Ingress>(None);
        ingresses.retain(|ingress| table::is_ours(ingress));
        let table = Table::compile(&ingresses, backends);
        self.pool.keep(table.endpoints());
        self.table.store(Arc::new(table));
        self.certificates.follow(shelf, &ingresses);
        self.statuses.follow(&ingresses);
    }

    /// Waits for requests in flight, for a while.
    pub async fn finish(self) {
        self.pool.keep(HashSet::new());
        self.tracker.close();
        if timeout(DRAIN, self.tracker.wait()).await.is_err() {
            tracing::warn!(connections = self.tracker.len(), "the Ingress ends with connections still open");
        }
    }
}
