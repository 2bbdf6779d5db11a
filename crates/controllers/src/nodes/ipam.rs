//! `node-ipam-controller`: gives each node a share of the cluster's pod addresses.
use ipnet::Ipv4Net;
use jiff::Timestamp;
use knarr_cluster::{Shelf, View, views::Node};
use knarr_reconcile::{Action, Controller, Object, Plan, Source};
use serde_json::json;
use std::{collections::BTreeSet, fmt, sync::Arc};

/// Hands out blocks of the cluster's network.
#[derive(Debug, Clone, Copy)]
pub struct NodeIpam {
    pub cluster_cidr: Ipv4Net,
    /// How long a node's prefix is: /24 are 254 pods, /18 some 16,000.
    pub node_prefix: u8,
}

/// There is one key, so that no two passes hand out the same block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct All;

impl fmt::Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all nodes")
    }
}

impl Controller for NodeIpam {
    const NAME: &'static str = "node-ipam-controller";
    type Key = All;
    type Look = Vec<Arc<Node>>;

    fn sources(&self) -> Vec<Source<All>> {
        let lacks_one = |node: &Node| node.spec.pod_cidr.is_none();
        vec![Source::by(
            Node::resource(),
            move |_, change| if change.now.is_some_and(|node| lacks_one(&node.view())) { vec![All] } else { vec![] },
        )]
    }

    fn look(&self, shelf: &Shelf, _: &All) -> Option<Self::Look> {
        Some(shelf.views::<Node>(None))
    }

    fn reconcile(&self, nodes: &Self::Look, _now: Timestamp) -> Plan {
        let taken: BTreeSet<Ipv4Net> = nodes.iter().filter_map(|node| node.spec.pod_cidr.as_ref()?.parse().ok()).collect();
        let prefix = self.node_prefix.max(self.cluster_cidr.prefix_len());
        let Ok(blocks) = self.cluster_cidr.subnets(prefix) else { return Plan::nothing() };
        let free = blocks.filter(|block| !taken.iter().any(|taken| taken.contains(block) || block.contains(taken)));
        let lacking = nodes.iter().filter(|node| node.spec.pod_cidr.is_none() && !node.metadata.is_deleting());
        let give = |(node, block): (&Arc<Node>, Ipv4Net)| {
            let block = block.to_string();
            Action::Patch { of: Object::of(&**node), patch: json!({"spec": {"podCIDR": block, "podCIDRs": [block]}}), revision: None }
        };
        Plan::nothing().extend(lacking.zip(free).map(give))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_value;

    /// What the nodes without a block get, in order.
    fn given(cluster: &str, nodes: &[Option<&str>]) -> Vec<String> {
        let node = |(index, cidr): (usize, &Option<&str>)| {
            Arc::new(from_value(json!({"metadata": {"name": format!("n{index}"), "uid": "u"}, "spec": {"podCIDR": cidr}})).unwrap())
        };
        let nodes: Vec<Arc<Node>> = nodes.iter().enumerate().map(node).collect();
        let plan = NodeIpam { cluster_cidr: cluster.parse().unwrap(), node_prefix: 24 }.reconcile(&nodes, Timestamp::UNIX_EPOCH);
        let block = |action: &Action| match action {
            Action::Patch { patch, .. } => patch["spec"]["podCIDR"].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        plan.actions.iter().map(block).collect()
    }

    #[test]
    fn hands_out_the_first_free_block() {
        for (cluster, nodes, expected) in [
            ("10.244.0.0/16", &[None, None][..], &["10.244.0.0/24", "10.244.1.0/24"][..]),
            ("10.244.0.0/16", &[Some("10.244.1.0/24"), None, Some("10.244.0.0/24"), None][..], &["10.244.2.0/24", "10.244.3.0/24"][..]),
            ("10.244.0.0/16", &[Some("10.244.0.0/23"), None][..], &["10.244.2.0/24"][..]),
            ("10.244.0.0/24", &[Some("10.244.0.0/24"), None][..], &[][..]),
            ("10.244.0.0/26", &[None][..], &["10.244.0.0/26"][..]),
        ] {
            assert_eq!(given(cluster, nodes), expected);
        }
    }
}
