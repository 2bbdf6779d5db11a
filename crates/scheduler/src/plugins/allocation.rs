//! Prefers nodes with room, and nodes whose CPU and memory are used alike.
use super::{Plugin, Scale};
use crate::{decide::Candidate, node_info::NodeInfo, resources::Amounts};

pub struct LeastAllocated;
pub struct Balanced;

impl Plugin for LeastAllocated {
    fn scale(&self) -> Option<Scale> {
        Some(Scale::AsItIs)
    }

    /// The free share once the pod is there, the mean of CPU and memory. A pod that says nothing counts as a small one.
    fn score(&self, pod: &Candidate, node: &NodeInfo) -> i64 {
        let free = |has: i64, taken: i64| if has == 0 || taken > has { 0 } else { (has - taken) * 100 / has };
        let (cpu, memory) = pod.share.demand.scored;
        let has = &node.supply.amounts;
        (free(has.cpu_millis, node.usage.scored.0 + cpu) + free(has.memory_bytes, node.usage.scored.1 + memory)) / 2
    }
}

impl Plugin for Balanced {
    fn scale(&self) -> Option<Scale> {
        Some(Scale::AsItIs)
    }

    /// 50 for a pod that leaves the balance as it is, more if it evens it out, less if it tips it over. The halves and the rounding up are
    /// what a real v1.37 was seen to do (differential, sched-score/*).
    fn score(&self, pod: &Candidate, node: &NodeInfo) -> i64 {
        let (asked, has, taken) = (&pod.share.demand.requests, &node.supply.amounts, &node.usage.requested);
        let before = imbalance(has, taken.cpu_millis, taken.memory_bytes);
        let after = imbalance(has, taken.cpu_millis + asked.cpu_millis, taken.memory_bytes + asked.memory_bytes);
        #[expect(clippy::cast_possible_truncation, reason = "between -25 and 25")]
        let change = ((before - after) * 50.0).ceil() as i64;
        50 + change
    }
}

/// The deviation of the used shares of CPU and memory from their mean, 0 to 0.5.
fn imbalance(has: &Amounts, cpu_millis: i64, memory_bytes: i64) -> f64 {
    let share = |has: i64, used: i64| if has == 0 { 1.0 } else { (used as f64 / has as f64).min(1.0) };
    (share(has.cpu_millis, cpu_millis) - share(has.memory_bytes, memory_bytes)).abs() / 2.0
}
