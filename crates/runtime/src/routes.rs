//! The routing table: whom the pods of one isolation domain may call. Compiled by `network`, obeyed by runtimes. Plain data, replaced whole.
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    /// Grows with every change, so that an older table never replaces a newer one.
    pub version: u64,
    /// The DNS domain of the cluster, `cluster.local`.
    pub cluster_domain: String,
    pub services: Vec<ServiceRoute>,
    /// Addresses that pods may call without a Service: those of the cluster's pods.
    #[serde(default)]
    pub reachable: Vec<AddressRange>,
}

/// All addresses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    pub first: IpAddr,
    pub last: IpAddr,
}

/// Why a call goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unroutable {
    /// No Service of that name that this domain may see.
    UnknownName,
    /// The Service has nobody who answers on that port.
    NoEndpoint,
    /// An address that pods may not call.
    Prohibited,
}

/// A Service: found by name (`web`, `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`) or by its cluster IP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceRoute {
    pub namespace: String,
    pub name: String,
    /// None: headless.
    pub cluster_ip: Option<IpAddr>,
    pub ports: Vec<PortRoute>,
}

/// One port of a Service and who answers on it: ready endpoints only. None ready: connection refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PortRoute {
    pub port: u16,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Endpoint {
    /// A pod of the same runner: called without a socket, by the address it listens on.
    Here { pod_uid: String, address: SocketAddr },
    /// A pod of another domain or node: called over its address.
    Address(SocketAddr),
}

impl Routes {
    /// Who answers for `host:port`, called from a pod in `namespace`. `host` is a Service's name in any of its forms, its cluster IP, or a pod's IP.
    pub fn resolve(&self, namespace: &str, host: &str, port: u16) -> Result<Vec<Endpoint>, Unroutable> {
        let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>().ok();
        if let Some(ip) = literal {
            return match self.services.iter().find(|s| s.cluster_ip == Some(ip)) {
                Some(service) => service.endpoints(port),
                None if self.reaches(ip) => Ok(vec![Endpoint::Address(SocketAddr::new(ip, port))]),
                None => self.known(SocketAddr::new(ip, port)).map(|e| vec![e.clone()]).ok_or(Unroutable::Prohibited),
            };
        }
        let (name, wanted) = self.service_name(namespace, host).ok_or(Unroutable::UnknownName)?;
        let service = self.services.iter().find(|s| s.name.eq_ignore_ascii_case(name) && s.namespace.eq_ignore_ascii_case(wanted));
        service.ok_or(Unroutable::UnknownName)?.endpoints(port)
    }

    /// Whether a pod of this domain may be connected to that address. The agent asks this before it connects for a runner.
    pub fn allows(&self, address: SocketAddr) -> bool {
        self.reaches(address.ip()) || self.known(address).is_some()
    }

    fn reaches(&self, ip: IpAddr) -> bool {
        // Ranges of one family only: v4 sorts below v6 in IpAddr's order, so a mixed range would hold too much.
        self.reachable
            .iter()
            .any(|r| r.first.is_ipv4() == ip.is_ipv4() && r.last.is_ipv4() == ip.is_ipv4() && r.first <= ip && ip <= r.last)
    }

    fn known(&self, address: SocketAddr) -> Option<&Endpoint> {
        self.services.iter().flat_map(|s| &s.ports).flat_map(|p| &p.endpoints).find(|e| e.address() == address)
    }

    /// The Service's name and namespace that a host name stands for: `web`, `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`.
    fn service_name<'a>(&self, namespace: &'a str, host: &'a str) -> Option<(&'a str, &'a str)> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let Some((name, rest)) = host.split_once('.') else {
            return Some((host, namespace));
        };
        let (wanted, rest) = rest.split_once('.').unwrap_or((rest, "svc"));
        let is_service = match rest.split_once('.') {
            None => rest == "svc",
            Some((svc, domain)) => svc == "svc" && domain.eq_ignore_ascii_case(&self.cluster_domain),
        };
        is_service.then_some((name, wanted))
    }
}

impl ServiceRoute {
    fn endpoints(&self, port: u16) -> Result<Vec<Endpoint>, Unroutable> {
        let found: Vec<Endpoint> = match self.ports.iter().find(|p| p.port == port) {
            Some(route) => route.endpoints.clone(),
            // The name of a headless Service stands for its pods, whatever the port.
            None if self.cluster_ip.is_none() => {
                let mut addresses: Vec<SocketAddr> =
                    self.ports.iter().flat_map(|p| &p.endpoints).map(|e| SocketAddr::new(e.address().ip(), port)).collect();
                addresses.sort();
                addresses.dedup();
                addresses.into_iter().map(Endpoint::Address).collect()
            }
            None => Vec::new(),
        };
        if found.is_empty() { Err(Unroutable::NoEndpoint) } else { Ok(found) }
    }
}

impl Endpoint {
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Here { address, .. } | Self::Address(address) => *address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Routes {
        let at = |text: &str| Endpoint::Address(text.parse().unwrap());
        let service = |namespace: &str, name: &str, ip: Option<&str>, port, endpoints| ServiceRoute {
            namespace: namespace.into(),
            name: name.into(),
            cluster_ip: ip.map(|ip| ip.parse().unwrap()),
            ports: vec![PortRoute { port, endpoints }],
        };
        Routes {
            version: 1,
            cluster_domain: "cluster.local".into(),
            services: vec![
                service("shop", "web", Some("10.96.0.7"), 80, vec![at("10.42.0.5:8080"), at("10.42.1.6:8080")]),
                service("shop", "empty", Some("10.96.0.8"), 80, vec![]),
                service("shop", "db", None, 5432, vec![at("10.42.0.9:5432")]),
                service("bank", "web", Some("10.96.0.9"), 80, vec![at("10.99.0.1:1")]),
            ],
            reachable: vec![AddressRange { first: "10.42.0.0".parse().unwrap(), last: "10.42.255.255".parse().unwrap() }],
        }
    }

    fn check(host: &str, port: u16, want: Result<&[&str], Unroutable>) {
        let found = table().resolve("shop", host, port).map(|all| all.iter().map(|e| e.address().to_string()).collect::<Vec<_>>());
        assert_eq!(found, want.map(|all| all.iter().map(ToString::to_string).collect()), "{host}:{port}");
    }

    const WEB: Result<&[&str], Unroutable> = Ok(&["10.42.0.5:8080", "10.42.1.6:8080"]);

    #[test]
    fn finds_a_service_by_each_form_of_its_name() {
        for host in
            ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "web.shop.svc.cluster.local.", "WEB.shop", "10.96.0.7"]
        {
            check(host, 80, WEB);
        }
        check("web.bank", 80, Ok(&["10.99.0.1:1"]));
    }

    #[test]
    fn refuses_what_is_no_service_of_the_cluster() {
        for host in ["example.com", "web.shop.pod", "web.shop.svc.other.domain", "nobody", "web.nowhere", ""] {
            check(host, 80, Err(Unroutable::UnknownName));
        }
    }

    #[test]
    fn tells_a_closed_port_from_an_unknown_name() {
        check("web", 81, Err(Unroutable::NoEndpoint));
        check("empty", 80, Err(Unroutable::NoEndpoint));
    }

    #[test]
    fn lets_pods_be_called_by_address_and_nothing_else() {
        check("10.42.7.7", 9, Ok(&["10.42.7.7:9"]));
        for host in ["127.0.0.1", "169.254.169.254", "10.43.0.1", "[::1]", "0.0.0.0", "::ffff:10.42.0.1"] {
            check(host, 80, Err(Unroutable::Prohibited));
        }
        assert!(table().allows("10.99.0.1:1".parse().unwrap()), "an endpoint outside the pods' addresses");
        assert!(!table().allows("10.99.0.1:2".parse().unwrap()));
    }

    #[test]
    fn calls_the_pods_of_a_headless_service_on_any_port() {
        check("db", 5432, Ok(&["10.42.0.9:5432"]));
        check("db", 9000, Ok(&["10.42.0.9:9000"]));
    }
}
