//! Service: its shape. Addresses and node ports are allocated by the server, between defaults and checks.
mod column;
mod update;

pub(crate) use column::{columns, load_balancer};

use crate::{
    Strategy,
    field::{self, Wrong, fill, text},
};
use ipnet::Ipv4Net;
use k8s_openapi::{
    api::core::v1::{ClientIPConfig, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus, SessionAffinityConfig},
    apimachinery::pkg::util::intstr::IntOrString,
};
use knarr_machinery::{FieldError, names};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

const AFFINITY_SECONDS: i32 = 10_800;
const AFFINITY_SECONDS_MAX: i32 = 86_400;
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];

#[derive(Clone)]
pub(crate) struct Services;

impl Strategy for Services {
    type Object = Service;

    fn default(&self, new: &mut Service) {
        let spec = new.spec.get_or_insert_default();
        fill(&mut spec.session_affinity, "None");
        fill(&mut spec.type_, "ClusterIP");
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            let config = spec.session_affinity_config.get_or_insert_with(SessionAffinityConfig::default);
            config.client_ip.get_or_insert_with(ClientIPConfig::default).timeout_seconds.get_or_insert(AFFINITY_SECONDS);
        } else if spec.session_affinity.as_deref() == Some("None") {
            spec.session_affinity_config = None;
        }
        for port in spec.ports.iter_mut().flatten() {
            default_port(port);
        }
        if is_external(spec) {
            fill(&mut spec.external_traffic_policy, "Cluster");
        }
        if is_clustered(spec) {
            fill(&mut spec.internal_traffic_policy, "Cluster");
        }
        if text(&spec.type_) == "LoadBalancer" {
            spec.allocate_load_balancer_node_ports.get_or_insert(true);
        }
        new.status.get_or_insert_default().load_balancer.get_or_insert_default();
    }

    fn prepare(&self, new: &mut Service, old: Option<&Service>) {
        let Some(spec) = &mut new.spec else { return };
        agree_on_cluster_ips(spec, old.and_then(|old| old.spec.as_ref()));
        if let Some(old) = old.and_then(|old| old.spec.as_ref()) {
            update::drop_with_type(spec, old);
        } else {
            new.status = Some(ServiceStatus { load_balancer: Some(LoadBalancerStatus::default()), conditions: None });
        }
    }

    fn check(&self, new: &Service, old: Option<&Service>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(spec) = &new.spec else { return wrong };
        check_spec(spec, &mut wrong);
        if let Some(old) = old.and_then(|old| old.spec.as_ref()) {
            update::check(spec, old, &mut wrong);
        }
        wrong
    }
}

/// Reachable from outside through ports of the nodes or a load balancer.
fn is_external(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "NodePort" | "LoadBalancer") || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty())
}

/// Has, or will have, an address of the cluster.
fn is_clustered(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn is_headless(spec: &ServiceSpec) -> bool {
    text(&spec.cluster_ip) == "None" || spec.cluster_ips.as_ref().is_some_and(|ips| ips.first().is_some_and(|ip| ip == "None"))
}

fn default_port(port: &mut ServicePort) {
    fill(&mut port.protocol, "TCP");
    let unset = match &port.target_port {
        None | Some(IntOrString::Int(0)) => true,
        Some(IntOrString::String(name)) => name.is_empty(),
        Some(IntOrString::Int(_)) => false,
    };
    if unset {
        port.target_port = Some(IntOrString::Int(port.port));
    }
}

/// `clusterIP` and the first of `clusterIPs` are one field under two names. A client that knows only the older one leaves the newer one as
/// it was.
fn agree_on_cluster_ips(new: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let one = text(&new.cluster_ip).to_owned();
    let unchanged = old.is_some_and(|old| old.cluster_ips == new.cluster_ips);
    match (new.cluster_ips.as_deref(), one.is_empty()) {
        (None | Some([]), false) => new.cluster_ips = Some(vec![one]),
        (Some([first, ..]), true) if old.is_none() => new.cluster_ip = Some(first.clone()),
        // The older name was cleared: so is the newer one.
        (Some(_), true) if unchanged => new.cluster_ips = None,
        (Some([first, ..]), false) if unchanged && *first != one => new.cluster_ips = Some(vec![one]),
        _ => {}
    }
}

fn check_spec(spec: &ServiceSpec, wrong: &mut Wrong) {
    let kind = text(&spec.type_);
    check_addresses(spec, kind, wrong);
    check_ports(spec, kind, wrong);
    field::labels(wrong, "spec.selector", spec.selector.iter().flatten());
    check_affinity(spec, wrong);
    field::one_of(wrong, "spec.type", kind, TYPES);
    for (at, ip) in spec.external_ips.iter().flatten().enumerate() {
        check_external_ip(ip, &format!("spec.externalIPs[{at}]"), wrong);
    }
    check_policies(spec, wrong);
    for (at, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        let path = format!("spec.LoadBalancerSourceRanges[{at}]");
        if range.trim().parse::<ipnet::IpNet>().is_err() {
            wrong.push(FieldError::invalid(path, &**range, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"));
        }
    }
}

fn check_addresses(spec: &ServiceSpec, kind: &str, wrong: &mut Wrong) {
    if kind == "ExternalName" {
        let name = text(&spec.external_name);
        let path = "spec.externalName";
        if name.is_empty() {
            field::required(wrong, path)
        } else {
            field::named(wrong, path, name.trim_end_matches('.'), names::is_dns_subdomain)
        }
        return;
    }
    if is_headless(spec) && matches!(kind, "NodePort" | "LoadBalancer") {
        wrong.push(FieldError::invalid("spec.clusterIPs[0]", "None", format!("may not be set to 'None' for {kind} services")));
    }
    let ips = spec.cluster_ips.as_deref().unwrap_or_default();
    if let Some(first) = ips.first()
        && *first != text(&spec.cluster_ip)
    {
        wrong.push(FieldError::invalid("spec.clusterIPs", field::json(&ips), "first value must match `clusterIP`"));
    }
    for (at, ip) in ips.iter().enumerate().filter(|(at, ip)| *at > 0 || *ip != "None") {
        field::named(wrong, &format!("spec.clusterIPs[{at}]"), ip, names::is_ip);
    }
}

fn check_ports(spec: &ServiceSpec, kind: &str, wrong: &mut Wrong) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && kind != "ExternalName" && !is_headless(spec) {
        field::required(wrong, "spec.ports");
    }
    let (mut names, mut pairs, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{at}]");
        check_port(port, ports.len(), &path, wrong);
        let name = text(&port.name);
        if !name.is_empty() && !names.insert(name) {
            wrong.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        if !pairs.insert((port.port, text(&port.protocol))) {
            let key = serde_json::json!({"port": port.port, "protocol": text(&port.protocol)});
            wrong.push(FieldError::duplicate(&path, key));
        }
        let Some(node_port) = port.node_port.filter(|port| *port != 0) else { continue };
        if !matches!(kind, "NodePort" | "LoadBalancer") {
            let detail = format!("may not be used when `type` is '{kind}'");
            wrong.push(FieldError::forbidden(format!("{path}.nodePort"), detail));
        } else if !node_ports.insert((node_port, text(&port.protocol))) {
            wrong.push(FieldError::duplicate(format!("{path}.nodePort"), node_port));
        }
    }
}

fn check_port(port: &ServicePort, ports: usize, path: &str, wrong: &mut Wrong) {
    match text(&port.name) {
        "" if ports > 1 => field::required(wrong, &format!("{path}.name")),
        "" => {}
        name => field::named(wrong, &format!("{path}.name"), name, names::is_dns_label),
    }
    field::port_number(wrong, &format!("{path}.port"), port.port);
    field::one_of(wrong, &format!("{path}.protocol"), text(&port.protocol), &["SCTP", "TCP", "UDP"]);
    if let Some(target) = &port.target_port {
        field::port(wrong, &format!("{path}.targetPort"), target);
    }
    if let Some(protocol) = &port.app_protocol {
        field::named(wrong, &format!("{path}.appProtocol"), protocol, names::is_qualified_name);
    }
}

fn check_affinity(spec: &ServiceSpec, wrong: &mut Wrong) {
    field::one_of(wrong, "spec.sessionAffinity", text(&spec.session_affinity), &["ClientIP", "None"]);
    let seconds = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()).and_then(|ip| ip.timeout_seconds);
    if let Some(seconds) = seconds.filter(|seconds| !(1..=AFFINITY_SECONDS_MAX).contains(seconds)) {
        let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        wrong.push(FieldError::invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, detail));
    }
}

fn check_external_ip(ip: &str, path: &str, wrong: &mut Wrong) {
    let before = wrong.len();
    field::named(wrong, path, ip, names::is_ip);
    if wrong.len() == before {
        check_reachable(ip, path, wrong);
    }
}

/// Pods live here where a node may not make a network namespace: the one part of the loopback range that endpoints may name.
const LOOPBACK_PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 64, 0, 0), 10);

fn is_pod_on_loopback(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if LOOPBACK_PODS.contains(&v4))
}

/// An address that other machines can mean.
pub(crate) fn check_reachable(ip: &str, path: &str, wrong: &mut Wrong) {
    let Ok(address) = ip.parse::<IpAddr>() else { return };
    let (link_local, link_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] == 0xff02),
    };
    for (is, detail) in [
        (address.is_unspecified(), format!("may not be unspecified ({ip})")),
        (address.is_loopback() && !is_pod_on_loopback(address), "may not be in the loopback range (127.0.0.0/8, ::1/128)".into()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".into()),
        (link_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".into()),
    ] {
        if is {
            wrong.push(FieldError::invalid(path, ip, detail));
        }
    }
}

fn check_policies(spec: &ServiceSpec, wrong: &mut Wrong) {
    let external = text(&spec.external_traffic_policy);
    if !external.is_empty() {
        if is_external(spec) {
            field::one_of(wrong, "spec.externalTrafficPolicy", external, POLICIES);
        } else {
            let detail = "may only be set for externally-accessible services";
            wrong.push(FieldError::invalid("spec.externalTrafficPolicy", external, detail));
        }
    }
    if let Some(internal) = &spec.internal_traffic_policy {
        field::one_of(wrong, "spec.internalTrafficPolicy", internal, POLICIES);
    }
}

#[cfg(test)]
mod tests;
