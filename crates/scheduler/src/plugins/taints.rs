//! Keeps pods off nodes whose taints they do not tolerate, and off cordoned ones.
use super::{Plugin, Scale};
use crate::{
    decide::{Candidate, Refusal},
    node_info::NodeInfo,
};
use knarr_cluster::views::{Taint, Toleration};

pub struct Taints;
pub struct Unschedulable;

impl Plugin for Taints {
    fn refuse(&self, pod: &Candidate, info: &NodeInfo) -> Option<Refusal> {
        let mut hard = info.node.spec.taints.iter().filter(|taint| &*taint.effect != "PreferNoSchedule");
        hard.find(|taint| !is_tolerated(&pod.pod.spec.tolerations, taint))?;
        Refusal::for_good("node(s) had untolerated taint(s)")
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale::LeastIsBest)
    }

    /// How many taints ask to stay away.
    fn score(&self, pod: &Candidate, info: &NodeInfo) -> i64 {
        let soft = info.node.spec.taints.iter().filter(|taint| &*taint.effect == "PreferNoSchedule");
        i64::try_from(soft.filter(|taint| !is_tolerated(&pod.pod.spec.tolerations, taint)).count()).unwrap_or(i64::MAX)
    }
}

impl Plugin for Unschedulable {
    fn refuse(&self, pod: &Candidate, info: &NodeInfo) -> Option<Refusal> {
        let cordon = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
        if !info.node.spec.unschedulable || is_tolerated(&pod.pod.spec.tolerations, &cordon) {
            return None;
        }
        Refusal::for_good("node(s) were unschedulable")
    }
}

fn is_tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// An empty key with `Exists` tolerates everything, an empty effect every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let exists = &*toleration.operator == "Exists";
    let same_key = toleration.key == taint.key || (toleration.key.is_empty() && exists);
    let same_effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
    same_key && same_effect && (exists || toleration.value == taint.value)
}
