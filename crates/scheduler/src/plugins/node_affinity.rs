//! Sends pods where `nodeSelector` and `nodeAffinity` say.
use super::{Plugin, Scale};
use crate::{
    decide::{Candidate, Refusal},
    node_info::NodeInfo,
};
use knarr_cluster::views::{Node, Pod};
use serde::Deserialize;
use std::collections::BTreeSet;

pub struct NodeAffinityPlugin;

/// `spec.affinity.nodeAffinity`, read once for each pod that wants a place.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Terms>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Option<Vec<Preferred>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    node_selector_terms: Vec<Term>,
}

/// All of it must be met; an empty term meets nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Option<Vec<Requirement>>,
    match_fields: Option<Vec<Requirement>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Preferred {
    weight: i64,
    preference: Term,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: Box<str>,
    operator: Box<str>,
    values: Option<Vec<Box<str>>>,
}

impl NodeAffinity {
    /// An affinity that cannot be read has been refused by the server; here it asks for nothing.
    pub fn of(pod: &Pod) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Affinity {
            node_affinity: Option<NodeAffinity>,
        }
        let read = |json: &serde_json::value::RawValue| serde_json::from_str::<Affinity>(json.get()).ok();
        pod.spec.affinity.as_deref().and_then(read).and_then(|affinity| affinity.node_affinity).unwrap_or_default()
    }

    /// The only nodes that come into question, when each term names nodes.
    fn names(&self) -> Option<BTreeSet<&str>> {
        let terms = &self.required.as_ref()?.node_selector_terms;
        let sets: Vec<_> = terms.iter().map(Term::names).collect::<Option<_>>()?;
        Some(sets.into_iter().flatten().collect())
    }

    fn is_met_by(&self, node: &Node) -> bool {
        self.required.as_ref().is_none_or(|required| required.node_selector_terms.iter().any(|term| term.is_met_by(node)))
    }
}

impl Term {
    fn is_met_by(&self, node: &Node) -> bool {
        let expressions = self.match_expressions.as_deref().unwrap_or_default();
        let fields = self.match_fields.as_deref().unwrap_or_default();
        let labels = &node.metadata.labels;
        (!expressions.is_empty() || !fields.is_empty())
            && expressions.iter().all(|expression| expression.is_met_by(labels.get(&expression.key).map(|value| &**value)))
            && fields.iter().all(|field| field.is_met_by((&*field.key == "metadata.name").then_some(&*node.metadata.name)))
    }

    /// The nodes that this term names, if it does.
    fn names(&self) -> Option<BTreeSet<&str>> {
        let is_name = |field: &&Requirement| &*field.key == "metadata.name" && &*field.operator == "In";
        let named = |field: &'_ Requirement, name: &str| field.values.iter().flatten().any(|value| **value == *name);
        let fields: Vec<_> = self.match_fields.as_deref()?.iter().filter(is_name).collect();
        let (first, others) = fields.split_first()?;
        Some(first.values.iter().flatten().map(|name| &**name).filter(|name| others.iter().all(|field| named(field, name))).collect())
    }
}

impl Requirement {
    fn is_met_by(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().flatten().any(|listed| **listed == *value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.as_deref().and_then(|values| values.first()).and_then(|bound| number(bound));
        match &*self.operator {
            "In" => value.is_some_and(listed),
            "NotIn" => !value.is_some_and(listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => value.and_then(number).zip(bound).is_some_and(|(value, bound)| value > bound),
            "Lt" => value.and_then(number).zip(bound).is_some_and(|(value, bound)| value < bound),
            _ => false,
        }
    }
}

impl Plugin for NodeAffinityPlugin {
    fn refuse(&self, pod: &Candidate, info: &NodeInfo) -> Option<Refusal> {
        let node = &*info.node;
        if pod.affinity.names().is_some_and(|names| !names.contains(&*node.metadata.name)) {
            return Refusal::for_good("node(s) didn't satisfy plugin(s) [NodeAffinity]");
        }
        let selector = &pod.pod.spec.node_selector;
        let is_selected = selector.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value));
        if is_selected && pod.affinity.is_met_by(node) {
            None
        } else {
            Refusal::for_good("node(s) didn't match Pod's node affinity/selector")
        }
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale::MostIsBest)
    }

    /// The weights of the preferences that the node meets.
    fn score(&self, pod: &Candidate, info: &NodeInfo) -> i64 {
        let met = pod.affinity.preferred.iter().flatten().filter(|preferred| preferred.preference.is_met_by(&info.node));
        met.map(|preferred| preferred.weight).sum()
    }
}
