//! The routing tables of runners, one an isolation domain. Pure: Services, who answers on them and which pods live here, in; plain data, out.
//!
//! Every Service is visible to every domain until NetworkPolicies say otherwise.
use crate::{Isolation, backends::Backends, cidr};
use ipnet::Ipv4Net;
use knarr_cluster::views::Pod;
use knarr_runtime::{AddressRange, Endpoint, PortRoute, Routes, ServiceRoute};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// The tables of all domains that have a pod here, without versions: who pushes a changed one numbers it. `pods`: the ranges of all nodes' pods.
pub fn compile(
    backends: &Backends,
    local: &[Arc<Pod>],
    pods: &[Ipv4Net],
    isolation: &Isolation,
    cluster_domain: &str,
) -> BTreeMap<Box<str>, Routes> {
    let domain_of: HashMap<&str, &str> = local.iter().map(|pod| (&*pod.metadata.uid, isolation.domain(&pod.metadata.namespace))).collect();
    let domains: BTreeSet<&str> = domain_of.values().copied().collect();
    let table = |domain: &str| Routes {
        version: 0,
        cluster_domain: cluster_domain.to_owned(),
        services: services(backends, &domain_of, domain),
        reachable: pods.iter().map(reachable).collect(),
    };
    domains.iter().map(|domain| ((*domain).into(), table(domain))).collect()
}

/// Pods may be called by address; the node's own addresses in their range may not.
fn reachable(pods: &Ipv4Net) -> AddressRange {
    let before_broadcast = u32::from(pods.broadcast()).saturating_sub(1);
    AddressRange { first: IpAddr::V4(cidr::first_pod(*pods)), last: IpAddr::V4(before_broadcast.into()) }
}

fn services(backends: &Backends, domain_of: &HashMap<&str, &str>, domain: &str) -> Vec<ServiceRoute> {
    let endpoint = |endpoint: &crate::backends::Endpoint| match &endpoint.pod_uid {
        Some(uid) if domain_of.get(&**uid) == Some(&domain) => Endpoint::Here { pod_uid: uid.to_string(), address: endpoint.address },
        _ => Endpoint::Address(endpoint.address),
    };
    let services = backends.iter().map(|(key, backend)| ServiceRoute {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        cluster_ip: backend.cluster_ip.map(IpAddr::V4),
        ports: backend
            .ports
            .iter()
            .filter(|port| port.is_tcp)
            .map(|port| PortRoute { port: port.number, endpoints: port.endpoints.iter().map(endpoint).collect() })
            .collect(),
    });
    services.collect()
}

/// Which tables differ from those that were pushed last, numbered. A domain without pods keeps its last table: it has nobody to read it.
/// Versions start from the clock, because runners outlive us and refuse an older one.
pub fn changed(
    pushed: &mut BTreeMap<Box<str>, Arc<Routes>>,
    compiled: BTreeMap<Box<str>, Routes>,
    now_ms: u64,
) -> Vec<(Box<str>, Arc<Routes>)> {
    pushed.retain(|domain, _| compiled.contains_key(domain));
    let mut news = Vec::new();
    for (domain, mut routes) in compiled {
        let last = pushed.get(&domain);
        routes.version = last.map_or(0, |last| last.version);
        if last.is_some_and(|last| **last == routes) {
            continue;
        }
        routes.version = now_ms.max(routes.version + 1);
        let routes = Arc::new(routes);
        pushed.insert(domain.clone(), Arc::clone(&routes));
        news.push((domain, routes));
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::{
        self,
        tests::{service, slice},
    };
    use serde_json::json;

    fn pod(namespace: &str, uid: &str) -> Arc<Pod> {
        Arc::new(serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": "p", "uid": uid}})).unwrap())
    }

    fn said(routes: &Routes) -> String {
        let endpoint = |endpoint: &Endpoint| match endpoint {
            Endpoint::Here { address, .. } => format!("here {address}"),
            Endpoint::Address(address) => address.to_string(),
        };
        let port = |port: &PortRoute| format!("{}: {}", port.port, port.endpoints.iter().map(endpoint).collect::<Vec<_>>().join(", "));
        let ports = |service: &ServiceRoute| format!("{} {}", service.name, service.ports.iter().map(port).collect::<Vec<_>>().join("; "));
        routes.services.iter().map(ports).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn calls_a_pod_of_the_same_domain_directly() {
        let compiled = backends::compile(&[service("web", json!({}))], &[slice("web", 8080, "10.42.0.3 10.42.0.4")], "n1");
        let local = [pod("default", "pod-10.42.0.3"), pod("shop", "other")];
        for (what, isolation, domain, expected) in [
            ("its own", Isolation::Namespace, "default", "web 80: here 10.42.0.3:8080, 10.42.0.4:8080"),
            ("another's", Isolation::Namespace, "shop", "web 80: 10.42.0.3:8080, 10.42.0.4:8080"),
            ("one for the node", Isolation::Node("node".into()), "node", "web 80: here 10.42.0.3:8080, 10.42.0.4:8080"),
        ] {
            let tables = super::compile(&compiled, &local, &[], &isolation, "cluster.local");
            assert_eq!(said(&tables[domain]), expected, "{what}");
        }
    }

    #[test]
    fn pods_may_be_called_by_address_and_their_node_may_not() {
        let ranges = ["10.42.0.0/24".parse().unwrap(), "10.42.1.0/24".parse().unwrap()];
        let tables = super::compile(&Backends::new(), &[pod("default", "x")], &ranges, &Isolation::Namespace, "cluster.local");
        for (to, expected) in [
            ("10.42.0.3:80", true),
            ("10.42.1.254:80", true),
            ("10.42.0.1:22", false),
            ("10.42.0.2:22", false),
            ("10.42.1.255:80", false),
            ("10.42.2.3:80", false),
            ("127.0.0.1:6443", false),
            ("169.254.169.254:80", false),
        ] {
            assert_eq!(tables["default"].allows(to.parse().unwrap()), expected, "{to}");
        }
    }

    #[test]
    fn udp_ports_are_no_routes() {
        let both = service("dns", json!({"ports": [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53}]}));
        let tables =
            super::compile(&backends::compile(&[both], &[], "n1"), &[pod("default", "x")], &[], &Isolation::Namespace, "cluster.local");
        assert_eq!(said(&tables["default"]), "dns 53: ");
    }

    #[test]
    fn pushes_what_changed_with_growing_versions() {
        let mut pushed = BTreeMap::new();
        let tables = |endpoints: &str, pods: &[Arc<Pod>]| {
            let compiled = backends::compile(&[service("web", json!({}))], &[slice("web", 8080, endpoints)], "n1");
            super::compile(&compiled, pods, &[], &Isolation::Namespace, "cluster.local")
        };
        let pods = [pod("default", "x")];
        let mut push = |endpoints: &str, pods: &[Arc<Pod>], now_ms: u64| {
            let news = changed(&mut pushed, tables(endpoints, pods), now_ms);
            news.iter().map(|(domain, routes)| format!("{domain}@{}", routes.version)).collect::<Vec<_>>().join(" ")
        };
        for (what, endpoints, pods, now_ms, expected) in [
            ("the first goes out", "10.42.0.3", &pods[..], 1000, "default@1000"),
            ("the same again does not", "10.42.0.3", &pods, 1001, ""),
            ("a change does", "10.42.0.4", &pods, 1002, "default@1002"),
            ("a clock that went back changes nothing", "10.42.0.5", &pods, 5, "default@1003"),
            ("no pods, no table", "10.42.0.6", &[], 2000, ""),
            ("a domain that comes back is told anew", "10.42.0.5", &pods, 3000, "default@3000"),
        ] {
            assert_eq!(push(endpoints, pods, now_ms), expected, "{what}");
        }
    }
}
