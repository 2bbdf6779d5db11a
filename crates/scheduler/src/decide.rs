//! Choosing a node: filter, then score. Pure: a pod and a picture of the nodes in, a decision out.
use crate::{
    node_info::{NodeInfo, Share},
    plugins::{Plugin, Scale, node_affinity::NodeAffinity},
};
use knarr_cluster::views::Pod;
use std::{collections::BTreeMap, sync::Arc};

/// A pod that wants a place, with what is read out of it once.
pub struct Candidate {
    pub pod: Arc<Pod>,
    pub share: Share,
    pub affinity: NodeAffinity,
}

impl Candidate {
    pub fn new(pod: Arc<Pod>) -> Self {
        Self { share: Share::of(&pod), affinity: NodeAffinity::of(&pod), pod }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Place {
        node: Box<str>,
    },
    /// The message as `kubectl describe pod` shows it.
    Unschedulable {
        message: String,
    },
}

/// Places a pod on the node of the highest score among those that no plugin refuses; of equals on the first.
pub fn decide<'a>(plugins: &[(Box<dyn Plugin>, i64)], pod: &Candidate, nodes: impl Iterator<Item = &'a NodeInfo>) -> Decision {
    let mut refused = Refused::default();
    let mut feasible: Vec<&NodeInfo> = vec![];
    for node in nodes {
        refused.of += 1;
        match plugins.iter().find_map(|(plugin, _)| plugin.refuse(pod, node)) {
            Some(refusal) => refused.add(refusal),
            None => feasible.push(node),
        }
    }
    match &feasible[..] {
        [] => Decision::Unschedulable { message: refused.message(pod) },
        [only] => Decision::Place { node: only.node.metadata.name.clone() },
        several => Decision::Place { node: best(plugins, pod, several).node.metadata.name.clone() },
    }
}

fn best<'a>(plugins: &[(Box<dyn Plugin>, i64)], pod: &Candidate, nodes: &[&'a NodeInfo]) -> &'a NodeInfo {
    let mut totals = vec![0; nodes.len()];
    for (plugin, weight) in plugins {
        let Some(scale) = plugin.scale() else { continue };
        let raw: Vec<i64> = nodes.iter().map(|node| plugin.score(pod, node)).collect();
        let most = raw.iter().copied().max().unwrap_or(0);
        for (total, raw) in totals.iter_mut().zip(raw) {
            *total += weight * scaled(scale, raw, most);
        }
    }
    let highest = totals.iter().copied().max().unwrap_or(0);
    let index = totals.iter().position(|total| *total == highest).unwrap_or(0);
    nodes[index]
}

/// 0 to 100, where 100 is best.
fn scaled(scale: Scale, raw: i64, most: i64) -> i64 {
    match scale {
        Scale::AsItIs => raw,
        Scale::MostIsBest if most == 0 => 0,
        Scale::MostIsBest => raw * 100 / most,
        Scale::LeastIsBest if most == 0 => 100,
        Scale::LeastIsBest => 100 - raw * 100 / most,
    }
}

/// Why no node would do: reasons with the number of nodes each was given for.
#[derive(Default)]
struct Refused {
    of: usize,
    reasons: BTreeMap<String, usize>,
    /// Nodes where it could help if other pods went away.
    curable: usize,
}

/// Why a plugin refuses a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One reason; only the resources plugin has several.
    pub reasons: Vec<String>,
    /// Fewer pods on the node would lift it.
    pub curable: bool,
}

impl Refusal {
    pub fn for_good(reason: &str) -> Option<Self> {
        Some(Self { reasons: vec![reason.into()], curable: false })
    }

    pub fn curable(reason: &str) -> Option<Self> {
        Some(Self { reasons: vec![reason.into()], curable: true })
    }
}

impl Refused {
    fn add(&mut self, refusal: Refusal) {
        for reason in refusal.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.curable += usize::from(refusal.curable);
    }

    /// Upstream's sentence; reasons are sorted as text, counts included.
    fn message(&self, pod: &Candidate) -> String {
        let Self { of, reasons, curable } = self;
        if *of == 0 {
            return "no nodes available to schedule pods".into();
        }
        let listed = |mut list: Vec<String>| {
            list.sort();
            list.join(", ")
        };
        let reasons = listed(reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect());
        if pod.pod.spec.preemption_policy.as_deref() == Some("Never") {
            return format!("0/{of} nodes are available: {reasons}. preemption: not eligible due to preemptionPolicy=Never.");
        }
        let preemption =
            [(*curable, "No preemption victims found for incoming pod"), (of - curable, "Preemption is not helpful for scheduling")];
        let preemption =
            listed(preemption.iter().filter(|(count, _)| *count > 0).map(|(count, reason)| format!("{count} {reason}")).collect());
        format!("0/{of} nodes are available: {reasons}. preemption: 0/{of} nodes are available: {preemption}.")
    }
}

#[cfg(test)]
mod tests;
