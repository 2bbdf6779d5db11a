//! The control plane: the real server, controllers and scheduler over a store in memory.
use ipnet::Ipv4Net;
use knarr_access::Pki;
use knarr_cluster::Clock;
use knarr_controllers::{NodeIpam, Selection, Settings};
use knarr_kinds::Table;
use knarr_server::{ApiServer, Config};
use knarr_store::Store;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where the `kubernetes` Service would lead; nobody listens there.
const ADVERTISED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 250)), 6443);

/// What outlives a control plane.
#[derive(Clone)]
pub struct Ground {
    pub store: Arc<dyn Store>,
    pub pki: Arc<Pki>,
    pub kinds: Table,
    pub clock: Clock,
    pub selection: Selection,
    pub has_scheduler: bool,
}

pub struct ControlPlane {
    pub parts: knarr_cluster::Cluster,
    server: ApiServer,
    loops: TaskTracker,
    stop: CancellationToken,
}

impl ControlPlane {
    pub async fn start(ground: &Ground) -> Self {
        let server = ApiServer::open(Config {
            store: Arc::clone(&ground.store),
            kinds: ground.kinds.clone(),
            pki: Arc::clone(&ground.pki),
            service_cidr: network([10, 96, 0, 0], 16),
            node_ports: (30_000, 32_767),
            advertise: Some(ADVERTISED),
            clock: ground.clock.clone(),
        })
        .await
        .expect("a server opens over a store in memory");
        let (parts, loops, stop) = (server.cluster(), TaskTracker::new(), CancellationToken::new());
        let node_ipam = Some(NodeIpam { cluster_cidr: network([10, 0, 0, 0], 8), node_prefix: 16 });
        let settings = Settings { kinds: ground.kinds.clone(), root_ca_pem: ground.pki.ca_pem().into(), node_ipam };
        knarr_controllers::spawn(&ground.selection, &settings, &parts, &loops, &stop);
        if ground.has_scheduler {
            loops.spawn(knarr_scheduler::run(parts.clone(), stop.clone()));
        }
        Self { parts, server, loops, stop }
    }

    /// Ends it; the store stays.
    pub async fn end(&self) {
        self.stop.cancel();
        self.loops.close();
        self.loops.wait().await;
        self.server.close().await;
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn network(address: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new(address.into(), prefix).expect("a prefix below 33")
}
