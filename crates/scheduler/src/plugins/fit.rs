//! Refuses nodes without room: for one pod more, or for what the pod asks.
use super::Plugin;
use crate::{
    decide::{Candidate, Refusal},
    node_info::NodeInfo,
};

pub struct Fit;

impl Plugin for Fit {
    /// Names everything that is short. Other pods' going would help where an empty node had enough.
    fn refuse(&self, pod: &Candidate, node: &NodeInfo) -> Option<Refusal> {
        let mut refusal = Refusal { reasons: vec![], curable: true };
        if node.usage.pods >= node.supply.pods {
            refusal.reasons.push("Too many pods".into());
        }
        let (asked, has, taken) = (&pod.share.demand.requests, &node.supply.amounts, &node.usage.requested);
        let mut check = |name: &str, asked: i64, has: i64, taken: i64| {
            if asked > 0 && asked > has - taken {
                refusal.reasons.push(format!("Insufficient {name}"));
                refusal.curable &= asked <= has;
            }
        };
        check("cpu", asked.cpu_millis, has.cpu_millis, taken.cpu_millis);
        check("memory", asked.memory_bytes, has.memory_bytes, taken.memory_bytes);
        check("ephemeral-storage", asked.ephemeral_bytes, has.ephemeral_bytes, taken.ephemeral_bytes);
        for (name, amount) in &asked.others {
            check(name, *amount, has.others.get(name).copied().unwrap_or(0), taken.others.get(name).copied().unwrap_or(0));
        }
        (!refusal.reasons.is_empty()).then_some(refusal)
    }
}
