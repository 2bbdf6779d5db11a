//! Which sockets the proxy needs, and whom each carries to. Pure.
use crate::{
    backends::{self, Backends, Endpoint},
    cidr,
};
use knarr_machinery::Key;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Front {
    /// Bound where pods' sockets live.
    ClusterIp(SocketAddr),
    /// Bound on the host.
    NodePort(u16),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub service: Key,
    pub uid: Box<str>,
    pub is_sticky: bool,
    pub endpoints: Arc<[Endpoint]>,
}

impl Target {
    /// The endpoints in the order in which one connection tries them: the `turn`th first, or always the same first for one client.
    pub fn in_turn(&self, turn: usize, client: IpAddr) -> impl Iterator<Item = SocketAddr> + '_ {
        backends::in_turn(&self.endpoints, if self.is_sticky { sticky(client) } else { turn })
    }
}

fn sticky(client: IpAddr) -> usize {
    let bytes = match client {
        IpAddr::V4(address) => cidr::hash(&address.octets()),
        IpAddr::V6(address) => cidr::hash(&address.octets()),
    };
    usize::try_from(bytes >> 33).expect("31 bits fit")
}

/// What has somebody ready behind it. `binds_cluster_ips`: there is a namespace that they can be bound in. Where two Services want one port, the first
/// by name has it, which the API does not let happen.
pub fn fronts(backends: &Backends, binds_cluster_ips: bool) -> BTreeMap<Front, Target> {
    let mut fronts = BTreeMap::new();
    for (key, backend) in backends {
        for port in backend.ports.iter().filter(|port| port.is_tcp && !port.endpoints.is_empty()) {
            let target = || Target {
                service: key.clone(),
                uid: backend.uid.clone(),
                is_sticky: backend.is_sticky,
                endpoints: Arc::clone(&port.endpoints),
            };
            if let Some(ip) = backend.cluster_ip.filter(|_| binds_cluster_ips) {
                fronts.entry(Front::ClusterIp(SocketAddr::from((ip, port.number)))).or_insert_with(target);
            }
            if let Some(node_port) = port.node_port {
                fronts.entry(Front::NodePort(node_port)).or_insert_with(target);
            }
        }
    }
    fronts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::tests::{service, slice};
    use serde_json::json;

    #[test]
    fn listens_where_somebody_answers() {
        let port = |more| json!({"ports": [more]});
        for (what, more, endpoints, binds, expected) in [
            ("a cluster IP", json!({}), "10.42.0.3", true, "ClusterIp(10.96.0.5:80)"),
            ("nobody ready: refused", json!({}), "10.42.0.3!", true, ""),
            ("headless", json!({"clusterIP": "None"}), "10.42.0.3", true, ""),
            ("no namespace", json!({}), "10.42.0.3", false, ""),
            (
                "a node port beside it",
                port(json!({"name": "http", "port": 80, "nodePort": 30080})),
                "10.42.0.3",
                true,
                "ClusterIp(10.96.0.5:80) NodePort(30080)",
            ),
            ("a node port alone", port(json!({"name": "http", "port": 80, "nodePort": 30080})), "10.42.0.3", false, "NodePort(30080)"),
            ("UDP", port(json!({"name": "http", "port": 80, "protocol": "UDP"})), "10.42.0.3", true, ""),
        ] {
            let backends = backends::compile(&[service("web", more)], &[slice("web", 8080, endpoints)], "n1");
            let said: Vec<_> = fronts(&backends, binds).keys().map(|front| format!("{front:?}")).collect();
            assert_eq!(said.join(" "), expected, "{what}");
        }
    }

    #[test]
    fn takes_turns_and_falls_back_to_the_next() {
        let order = |turn, more, client: &str| {
            let backends = backends::compile(&[service("web", more)], &[slice("web", 80, "10.42.0.3 10.42.0.4 10.42.0.5")], "n1");
            let fronts = fronts(&backends, true);
            let target = fronts.values().next().unwrap();
            target.in_turn(turn, client.parse().unwrap()).map(|address| address.ip().to_string().pop().unwrap()).collect::<String>()
        };
        for (turn, expected) in [(0, "345"), (1, "453"), (2, "534"), (3, "345"), (usize::MAX, "345"), (usize::MAX - 1, "534")] {
            assert_eq!(order(turn, json!({}), "10.0.0.1"), expected, "turn {turn}");
        }
        let sticky = || json!({"sessionAffinity": "ClientIP"});
        let firsts: std::collections::BTreeSet<_> = (0..50).map(|n| order(n, sticky(), &format!("10.0.0.{n}"))).collect();
        assert_eq!(firsts.len(), 3, "clients spread: {firsts:?}");
        assert_eq!(order(0, sticky(), "10.0.0.1"), order(1, sticky(), "10.0.0.1"));
    }
}
