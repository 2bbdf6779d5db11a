//! A bare API server over memory, for trying real clients against it.
use knarr_access::Pki;
use knarr_cluster::Clock;
use knarr_kinds::Table;
use knarr_server::{ApiServer, Config, keeps};
use knarr_store::MemoryStore;
use std::{path::Path, sync::Arc};

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let pki = Arc::new(Pki::open_or_create(&Path::new(&folder).join("pki"), &[]).unwrap());
    let kinds = Table::new(knarr_kinds::builtin());
    let store = Arc::new(MemoryStore::new(keeps(&kinds)));
    let listener = tokio::net::TcpListener::bind(std::env::args().nth(2).unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { store, kinds, pki: Arc::clone(&pki), service_cidr: "10.96.0.0/16".parse().unwrap(), node_ports: (30000, 32767), advertise: Some("10.0.0.1:6443".parse().unwrap()), clock: Clock::System };
    let api = ApiServer::open(config).await.unwrap();
    std::fs::write(Path::new(&folder).join("kubeconfig"), pki.kubeconfig(&format!("https://{address}"), "admin", &["system:masters"]).unwrap()).unwrap();
    println!("ready {address}");
    api.serve(listener, tokio_util::sync::CancellationToken::new()).await.unwrap();
}
