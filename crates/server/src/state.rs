//! What every part of the server shares: where objects are kept, what kinds there are, how time goes.
use crate::{allocate::Ranges, logs::Kubelets, metrics::Metrics};
use knarr_access::Pki;
use knarr_cluster::{Clock, Shelf};
use knarr_kinds::Table;
use knarr_machinery::schema::Schema;
use knarr_store::Store;
use std::sync::Arc;

pub struct State {
    pub store: Arc<dyn Store>,
    pub shelf: Arc<Shelf>,
    pub kinds: Table,
    pub schema: &'static Schema,
    pub clock: Clock,
    pub pki: Arc<Pki>,
    pub ranges: Ranges,
    /// Held from picking an address or a port until the Service with it is on the shelf, from which the next one sees what is taken.
    pub services: tokio::sync::Mutex<()>,
    pub metrics: Metrics,
    pub kubelets: Kubelets,
}
