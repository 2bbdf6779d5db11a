//! The reasons to refuse or to prefer a node, one file each.
mod allocation;
mod fit;
pub mod node_affinity;
pub mod ports;
mod taints;

use crate::{
    decide::{Candidate, Refusal},
    node_info::NodeInfo,
};

pub trait Plugin: Send + Sync {
    /// Why the pod cannot go there, if it cannot.
    fn refuse(&self, _pod: &Candidate, _node: &NodeInfo) -> Option<Refusal> {
        None
    }

    /// How this plugin's scores become 0 to 100; nothing for one that has no preferences.
    fn scale(&self) -> Option<Scale> {
        None
    }

    fn score(&self, _pod: &Candidate, _node: &NodeInfo) -> i64 {
        0
    }
}

/// What a raw score means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// 0 to 100 already.
    AsItIs,
    /// The node with the most gets 100.
    MostIsBest,
    /// A node with none gets 100, the one with the most gets 0.
    LeastIsBest,
}

/// The plugins in the order in which they are asked, with upstream's weights. A node counts only for the first that refuses it.
pub fn all() -> Vec<(Box<dyn Plugin>, i64)> {
    vec![
        (Box::new(taints::Unschedulable), 0),
        (Box::new(taints::Taints), 3),
        (Box::new(node_affinity::NodeAffinityPlugin), 2),
        (Box::new(ports::Ports), 0),
        (Box::new(fit::Fit), 0),
        (Box::new(allocation::LeastAllocated), 1),
        (Box::new(allocation::Balanced), 1),
    ]
}
