//! The server as a whole: opened over a store, served on a socket, closed in order.
use crate::{Error, allocate::Ranges, bootstrap, door::Door, feed::Feed, logs::Kubelets, metrics::Metrics, serve, state::State};
use ipnet::Ipv4Net;
use knarr_access::Pki;
use knarr_cluster::{Clock, Cluster, Shelf};
use knarr_kinds::Table;
use knarr_machinery::Revision;
use knarr_store::{Durability, Keep, Store};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Kubernetes' own: what is older can no longer be watched from or paged through.
const COMPACT_EVERY: Duration = Duration::from_secs(300);
/// As upstream keeps them.
const EVENTS_LIVE_FOR: Duration = Duration::from_secs(60 * 60);

pub struct Config {
    /// Opened with [`keeps`] of the same table.
    pub store: Arc<dyn Store>,
    pub kinds: Table,
    pub pki: Arc<Pki>,
    /// Services' cluster IPs.
    pub service_cidr: Ipv4Net,
    /// Services' node ports, first and last.
    pub node_ports: (u16, u16),
    /// Where pods reach this server: the endpoint of the `kubernetes` Service.
    pub advertise: Option<SocketAddr>,
    pub clock: Clock,
}

/// How the store keeps the collections: leases and events need no fsync, and events go after an hour.
pub fn keeps(kinds: &Table) -> Vec<Keep> {
    let mut keeps: Vec<Keep> = vec![];
    for row in kinds.rows().iter().filter(|row| row.stored.is_none()) {
        let time_to_live = match &*row.plural {
            "events" => Some(EVENTS_LIVE_FOR),
            "leases" => None,
            _ => continue,
        };
        keeps.push(Keep { prefix: row.storage().prefix(), durability: Durability::Soon, time_to_live });
    }
    keeps
}

/// A running server. Dropping it ends its tasks; [`ApiServer::close`] also waits for them.
pub struct ApiServer {
    state: Arc<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ApiServer {
    /// Loads what is stored and makes what every cluster has: the first namespaces and the `kubernetes` Service.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let shelf = Shelf::new();
        let feed = Feed::open(Arc::clone(&config.store), Arc::clone(&shelf), &config.kinds).await?;
        let kubelets = Kubelets::new(&config.pki)?;
        let state = Arc::new(State {
            store: config.store,
            shelf,
            kinds: config.kinds,
            schema: knarr_kinds::schema(),
            clock: config.clock,
            pki: config.pki,
            ranges: Ranges { cidr: config.service_cidr, node_ports: config.node_ports },
            services: tokio::sync::Mutex::default(),
            metrics: Metrics::new(std::time::SystemTime::now()),
            kubelets,
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(feed.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(compact(Arc::clone(&state))));
        let server = Self { state, tasks, stop };
        bootstrap::make(&server.cluster(), &server.state.ranges, config.advertise).await?;
        Ok(server)
    }

    /// What loops in this process read and write.
    pub fn cluster(&self) -> Cluster {
        let state = &self.state;
        Cluster { shelf: Arc::clone(&state.shelf), door: Arc::new(Door(Arc::clone(state))), clock: state.clock.clone() }
    }

    /// Answers HTTPS until `stop`, then lets requests in flight end.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
        serve::serve(Arc::clone(&self.state), listener, stop).await
    }

    /// Ends the feed. What was acknowledged is stored already.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Forgets history that is older than two looks.
async fn compact(state: Arc<State>) {
    let mut before = Revision(0);
    loop {
        tokio::time::sleep(COMPACT_EVERY).await;
        if let Err(error) = state.store.compact(before).await {
            tracing::warn!(%error, "history cannot be compacted");
        }
        before = state.shelf.revision();
    }
}
