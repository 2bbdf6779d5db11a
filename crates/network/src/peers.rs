//! Routes to the pods of other nodes: `podCIDR via InternalIP`, for nodes that share a network. The decision is pure; `Routes` acts.
use crate::{
    Result, cidr, joint,
    namespace::Owner,
    netlink::{Netlink, Route, Way},
    sockets::Resident,
};
use ipnet::Ipv4Net;
use knarr_cluster::views::Node;
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

/// Which range is behind which router.
pub type Wanted = BTreeMap<Ipv4Net, Ipv4Addr>;

/// The routes that a node needs: one for each other node that has a range and an address. `own`: this node's range, which is never routed away.
pub fn wanted(nodes: &[Arc<Node>], me: &str, own: Option<Ipv4Net>) -> Wanted {
    let range = |node: &Node| -> Option<(Ipv4Net, Ipv4Addr)> {
        let pods: Ipv4Net = node.spec.pod_cidr.as_deref()?.parse().ok()?;
        Some((pods.trunc(), node.address("InternalIP")?.parse().ok()?))
    };
    let others = nodes.iter().filter(|node| &*node.metadata.name != me && !node.metadata.is_deleting());
    others
        .filter_map(|node| range(node))
        .filter(|(pods, _)| !own.is_some_and(|own| cidr::overlap(&own, pods)) && !cidr::is_loopback(pods))
        .collect()
}

/// Makes the host's routes to other nodes those that are wanted. Only our own are touched: their metric is this node's id.
pub fn set(host: &Resident, owner: &Owner, wanted: Wanted) -> Result<()> {
    let metric = metric(owner);
    joint::talk(host, async move |netlink| {
        let there = netlink.routes().await?;
        let own = |route: &&Route| route.ours && route.metric == metric;
        for old in there.iter().filter(own).filter(|route| !is_wanted(route, &wanted)) {
            netlink.delete_route(old).await?;
        }
        let missing =
            wanted.iter().filter(|(to, via)| !there.iter().filter(own).any(|route| route.to == **to && route.way == Way::Via(**via)));
        for (to, via) in missing {
            if there.iter().any(|route| route.to == *to && route.metric != metric) {
                // A second node on this machine: its own pair of links leads there.
                continue;
            }
            add(netlink, Route { to: *to, way: Way::Via(*via), link: None, metric, ours: true }, *via).await?;
        }
        Ok(())
    })
}

/// A router that is in no subnet of ours is reached over the link that packets to it leave by anyway.
async fn add(netlink: &Netlink, route: Route, via: Ipv4Addr) -> Result<()> {
    if netlink.set_route(&route).await.is_ok() {
        return Ok(());
    }
    netlink.set_route(&Route { link: netlink.link_towards(via).await?, ..route }).await
}

fn is_wanted(route: &Route, wanted: &Wanted) -> bool {
    wanted.get(&route.to).is_some_and(|via| route.way == Way::Via(*via))
}

/// Never 0, which the kernel reads as "none given".
fn metric(owner: &Owner) -> u32 {
    u32::from_str_radix(&owner.id, 16).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(said: &str) -> Arc<Node> {
        let mut words = said.split_whitespace();
        let name = words.next().unwrap();
        let mut object = json!({"metadata": {"name": name}, "spec": {}, "status": {"addresses": []}});
        for word in words {
            match word.split_once('=').unwrap() {
                ("pods", pods) => object["spec"]["podCIDR"] = json!(pods),
                (kind, address) => object["status"]["addresses"].as_array_mut().unwrap().push(json!({"type": kind, "address": address})),
            }
        }
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn routes_to_each_other_node() {
        for (what, nodes, expected) in [
            ("nobody", &[][..], ""),
            ("not to itself", &["me pods=10.42.0.0/24 InternalIP=192.0.2.2"], ""),
            ("to another", &["b pods=10.42.1.0/24 InternalIP=192.0.2.3"], "10.42.1.0/24 via 192.0.2.3"),
            ("not without an address", &["b pods=10.42.1.0/24 Hostname=b"], ""),
            ("not without a range", &["b InternalIP=192.0.2.3"], ""),
            ("never its own range", &["b pods=10.42.0.0/24 InternalIP=192.0.2.3"], ""),
            ("not to loopback pods", &["b pods=127.64.0.0/20 InternalIP=192.0.2.3"], ""),
        ] {
            let nodes: Vec<_> = nodes.iter().map(|said| node(said)).collect();
            let wanted = wanted(&nodes, "me", Some("10.42.0.0/24".parse().unwrap()));
            let said: Vec<_> = wanted.iter().map(|(to, via)| format!("{to} via {via}")).collect();
            assert_eq!(said.join(", "), expected, "{what}");
        }
    }
}
