//! A node and what is taken of it.
use crate::{
    plugins::ports::HostPort,
    resources::{Amounts, Demand, Supply, is_sidecar},
};
use knarr_cluster::views::{Node, Pod};
use std::{collections::HashMap, sync::Arc};

/// What of a pod counts on its node, worked out once.
#[derive(Debug, Clone, Default)]
pub struct Share {
    pub demand: Demand,
    pub ports: Vec<HostPort>,
}

impl Share {
    pub fn of(pod: &Pod) -> Self {
        let sidecars = pod.spec.init_containers.iter().filter(|container| is_sidecar(container));
        let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports).filter_map(HostPort::of);
        Self { demand: Demand::of(pod), ports: ports.collect() }
    }
}

/// The sum of the pods on a node.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    pub requested: Amounts,
    /// CPU in millis and memory in bytes, for scores.
    pub scored: (i64, i64),
    pub pods: i64,
    /// How often each port is taken: twice only for a moment, between two events about one pod.
    pub ports: HashMap<HostPort, u32>,
}

impl Usage {
    pub fn add(&mut self, share: &Share) {
        self.requested.add(&share.demand.requests);
        self.scored.0 += share.demand.scored.0;
        self.scored.1 += share.demand.scored.1;
        self.pods += 1;
        for port in &share.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
    }

    pub fn remove(&mut self, share: &Share) {
        self.requested.subtract(&share.demand.requests);
        self.scored.0 -= share.demand.scored.0;
        self.scored.1 -= share.demand.scored.1;
        self.pods -= 1;
        for port in &share.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(port);
                }
            }
        }
    }
}

/// A node that pods may be placed on.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    pub node: Arc<Node>,
    pub supply: Supply,
    pub usage: Usage,
}

impl NodeInfo {
    pub fn new(node: Arc<Node>, usage: Usage) -> Self {
        Self { supply: Supply::read(&node.status.allocatable), node, usage }
    }
}
