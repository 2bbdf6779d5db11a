//! Addresses and node ports of Services. Pure: what is taken, and luck, are arguments.
//!
//! New ones are picked at random, so that two clusters on one machine rarely meet on a node port, and a freed one is not taken again at once.
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use knarr_machinery::FieldError;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

const HEADLESS: &str = "None";

/// The ranges that a server allocates from.
#[derive(Debug, Clone)]
pub struct Ranges {
    pub cidr: Ipv4Net,
    pub node_ports: (u16, u16),
}

impl Ranges {
    /// The address of the `kubernetes` Service: the first of the range.
    pub fn first(&self) -> Ipv4Addr {
        self.cidr.hosts().next().unwrap_or(self.cidr.addr())
    }
}

/// What the Services that there are have.
#[derive(Debug, Default)]
pub struct Taken {
    pub addresses: BTreeSet<IpAddr>,
    pub node_ports: BTreeSet<(u16, String)>,
}

impl Taken {
    pub fn add(&mut self, spec: &ServiceSpec) {
        self.addresses.extend(spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip).filter_map(|ip| ip.parse::<IpAddr>().ok()));
        for port in spec.ports.iter().flatten() {
            if let Some(number) = port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0) {
                self.node_ports.insert((number, protocol(port.protocol.as_deref())));
            }
        }
        if let Some(number) = spec.health_check_node_port.and_then(|number| u16::try_from(number).ok()) {
            self.node_ports.insert((number, protocol(None)));
        }
    }
}

fn protocol(said: Option<&str>) -> String {
    said.unwrap_or("TCP").to_owned()
}

/// Gives a Service what it has not and checks what it asks for. `taken` are the other Services' things; `lucky(n)` is a number below n.
pub fn allocate(service: &mut Service, ranges: &Ranges, taken: &Taken, lucky: &mut dyn FnMut(u32) -> u32) -> Vec<FieldError> {
    let mut wrong = vec![];
    let Some(spec) = &mut service.spec else { return wrong };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP").to_owned();
    if kind == "ExternalName" {
        return wrong;
    }
    give_address(spec, ranges, taken, lucky, &mut wrong);
    if kind == "NodePort" || (kind == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false)) {
        give_node_ports(spec, ranges, taken, lucky, &mut wrong);
    }
    wrong
}

fn give_address(spec: &mut ServiceSpec, ranges: &Ranges, taken: &Taken, lucky: &mut dyn FnMut(u32) -> u32, wrong: &mut Vec<FieldError>) {
    let said = spec.cluster_ip.clone().filter(|ip| !ip.is_empty());
    let headless = said.as_deref() == Some(HEADLESS);
    spec.ip_family_policy.get_or_insert_with(|| "SingleStack".into());
    spec.ip_families.get_or_insert_with(|| vec!["IPv4".into()]);
    if headless {
        spec.cluster_ips = Some(vec![HEADLESS.into()]);
        return;
    }
    let refused = |ip: &str, why: String| {
        FieldError::invalid("spec.clusterIPs", serde_json::json!([ip]), format!("failed to allocate IP {ip}: {why}"))
    };
    let address = match said {
        None => match pick_address(ranges, taken, lucky) {
            Some(address) => address.to_string(),
            None => {
                wrong.push(FieldError::invalid(
                    "spec.clusterIPs",
                    serde_json::json!([""]),
                    "failed to allocate a serviceIP: range is full",
                ));
                return;
            }
        },
        Some(said) => match said.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if !is_of(ranges, address) => {
                wrong.push(refused(&said, "the provided network does not match the current range".into()));
                said
            }
            Ok(address) if taken.addresses.contains(&address) => {
                wrong.push(refused(&said, "provided IP is already allocated".into()));
                said
            }
            // What is no address at all is told by the checks.
            _ => said,
        },
    };
    spec.cluster_ip = Some(address.clone());
    spec.cluster_ips = Some(vec![address]);
}

/// The network's own and the broadcast address are nobody's.
fn is_of(ranges: &Ranges, address: Ipv4Addr) -> bool {
    ranges.cidr.contains(&address) && address != ranges.cidr.network() && address != ranges.cidr.broadcast()
}

fn pick_address(ranges: &Ranges, taken: &Taken, lucky: &mut dyn FnMut(u32) -> u32) -> Option<Ipv4Addr> {
    let (start, end) = (u32::from(ranges.cidr.network()), u32::from(ranges.cidr.broadcast()));
    let count = end.checked_sub(start)?.checked_sub(1).filter(|count| *count > 0)?;
    let from = lucky(count);
    let free = |address: &Ipv4Addr| *address != ranges.first() && !taken.addresses.contains(&IpAddr::V4(*address));
    (0..count).map(|step| Ipv4Addr::from(start + 1 + (from + step) % count)).find(free)
}

fn give_node_ports(spec: &mut ServiceSpec, ranges: &Ranges, taken: &Taken, lucky: &mut dyn FnMut(u32) -> u32, wrong: &mut Vec<FieldError>) {
    let (first, last) = ranges.node_ports;
    let mut own: BTreeSet<(u16, String)> = BTreeSet::new();
    let ports = spec.ports.as_deref_mut().unwrap_or_default();
    for (at, port) in ports.iter().enumerate() {
        let Some(asked) = port.node_port.filter(|port| *port != 0) else { continue };
        let path = format!("spec.ports[{at}].nodePort");
        match u16::try_from(asked) {
            Ok(number) if (first..=last).contains(&number) => {
                let key = (number, protocol(port.protocol.as_deref()));
                if taken.node_ports.contains(&key) {
                    wrong.push(FieldError::invalid(path, asked, "provided port is already allocated"));
                }
                own.insert(key);
            }
            _ => {
                let detail = format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
                wrong.push(FieldError::invalid(path, asked, detail));
            }
        }
    }
    for (at, port) in ports.iter_mut().enumerate().filter(|(_, port)| port.node_port.unwrap_or(0) == 0) {
        let protocol = protocol(port.protocol.as_deref());
        let count = u32::from(last - first) + 1;
        let from = lucky(count);
        let numbers = (0..count).filter_map(|step| u16::try_from(u32::from(first) + (from + step) % count).ok());
        let free = numbers.map(|number| (number, protocol.clone())).find(|key| !taken.node_ports.contains(key) && !own.contains(key));
        match free {
            Some(key) => {
                port.node_port = Some(key.0.into());
                own.insert(key);
            }
            None => {
                wrong.push(FieldError::invalid(format!("spec.ports[{at}].nodePort"), 0, "failed to allocate a nodePort: range is full"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn taken() -> Taken {
        let mut taken = Taken::default();
        let other =
            json!({"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ports": [{"port": 1, "nodePort": 30001, "protocol": "TCP"}]});
        taken.add(&serde_json::from_value(other).unwrap());
        taken
    }

    /// The address and the node ports, or what is wrong.
    fn allocated(spec: Value, cidr: &str, luck: u32) -> String {
        let mut service: Service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        let ranges = Ranges { cidr: cidr.parse().unwrap(), node_ports: (30000, 30002) };
        let wrong = allocate(&mut service, &ranges, &taken(), &mut |count| luck % count);
        if !wrong.is_empty() {
            return wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        }
        let spec = service.spec.unwrap();
        let ports: Vec<_> = spec.ports.iter().flatten().filter_map(|p| p.node_port).map(|p| p.to_string()).collect();
        format!("{} {}", spec.cluster_ip.unwrap_or_default(), ports.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn gives_what_is_free_and_refuses_what_is_not() {
        let check = |spec: Value, luck: u32, expected: &str| assert_eq!(allocated(spec, "10.96.0.0/29", luck), expected);
        check(json!({}), 2, "10.96.0.3");
        check(json!({}), 4, "10.96.0.6");
        check(json!({}), 0, "10.96.0.2");
        check(json!({"clusterIP": "None"}), 0, "None");
        check(json!({"clusterIP": "10.96.0.4"}), 0, "10.96.0.4");
        check(
            json!({"clusterIP": "10.96.0.5"}),
            0,
            r#"spec.clusterIPs: Invalid value: ["10.96.0.5"]: failed to allocate IP 10.96.0.5: provided IP is already allocated"#,
        );
        check(
            json!({"clusterIP": "172.16.0.1"}),
            0,
            r#"spec.clusterIPs: Invalid value: ["172.16.0.1"]: failed to allocate IP 172.16.0.1: the provided network does not match the current range"#,
        );
        check(json!({"type": "ExternalName", "externalName": "x"}), 0, "");
        check(
            json!({"clusterIP": "10.96.0.2", "type": "NodePort", "ports": [{"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "TCP"}]}),
            1,
            "10.96.0.2 30002 30000",
        );
        check(json!({"clusterIP": "10.96.0.2", "type": "NodePort", "ports": [{"port": 1, "protocol": "UDP"}]}), 1, "10.96.0.2 30001");
        check(
            json!({"clusterIP": "10.96.0.2", "type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]}),
            0,
            "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated",
        );
        check(
            json!({"clusterIP": "10.96.0.2", "type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]}),
            0,
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-30002",
        );
    }

    #[test]
    fn says_when_a_range_is_full() {
        assert!(allocated(json!({}), "10.96.0.4/31", 0).contains("range is full"));
        let ports = json!([{"port": 1}, {"port": 2}, {"port": 3}]);
        assert!(allocated(json!({"clusterIP": "None", "type": "NodePort", "ports": ports}), "10.96.0.0/29", 0).contains("range is full"));
    }
}
