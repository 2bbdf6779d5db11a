//! What of a Service stays, and what goes with its type.
use super::{is_clustered, is_external, is_headless};
use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use knarr_machinery::FieldError;

/// Fields that the new type has no use for go, when the client left them as they were.
pub(super) fn drop_with_type(new: &mut ServiceSpec, old: &ServiceSpec) {
    if is_clustered(old) && !is_clustered(new) {
        if new.cluster_ip == old.cluster_ip && new.cluster_ips == old.cluster_ips {
            (new.cluster_ip, new.cluster_ips) = (None, None);
        }
        if new.ip_families == old.ip_families {
            new.ip_families = None;
        }
        if new.ip_family_policy == old.ip_family_policy {
            new.ip_family_policy = None;
        }
        if new.internal_traffic_policy == old.internal_traffic_policy {
            new.internal_traffic_policy = None;
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        drop_node_ports(new.ports.as_deref_mut().unwrap_or_default(), old.ports.as_deref().unwrap_or_default());
    }
    if is_external(old) && !is_external(new) && new.external_traffic_policy == old.external_traffic_policy {
        new.external_traffic_policy = None;
    }
    if text(&old.type_) == "LoadBalancer" && text(&new.type_) != "LoadBalancer" {
        new.allocate_load_balancer_node_ports = None;
    }
    // A client that sends no address means the one that is there.
    if is_clustered(old) && is_clustered(new) && text(&new.cluster_ip).is_empty() && new.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
        new.cluster_ip.clone_from(&old.cluster_ip);
        new.cluster_ips.clone_from(&old.cluster_ips);
    }
    if has_node_ports(old) && has_node_ports(new) {
        keep_node_ports(new.ports.as_deref_mut().unwrap_or_default(), old.ports.as_deref().unwrap_or_default());
    }
}

fn has_node_ports(spec: &ServiceSpec) -> bool {
    matches!(text(&spec.type_), "NodePort" | "LoadBalancer")
}

fn drop_node_ports(new: &mut [ServicePort], old: &[ServicePort]) {
    for port in new.iter_mut().filter(|port| old.iter().any(|old| old.node_port == port.node_port)) {
        port.node_port = None;
    }
}

/// A port that is named without its node port keeps the one it has.
fn keep_node_ports(new: &mut [ServicePort], old: &[ServicePort]) {
    let given: Vec<_> = new.iter().filter_map(|port| port.node_port).collect();
    for port in new.iter_mut().filter(|port| port.node_port.is_none_or(|number| number == 0)) {
        let same = |old: &&ServicePort| old.port == port.port && text(&old.protocol) == text(&port.protocol);
        port.node_port = old.iter().find(same).and_then(|old| old.node_port).filter(|number| !given.contains(number));
    }
}

pub(super) fn check(new: &ServiceSpec, old: &ServiceSpec, wrong: &mut Wrong) {
    if !is_clustered(old) || !is_clustered(new) || text(&old.cluster_ip).is_empty() {
        return;
    }
    let was_headless_and_stays = is_headless(old) && is_headless(new);
    if !was_headless_and_stays && text(&new.cluster_ip) != text(&old.cluster_ip) {
        let shown = field::json(&new.cluster_ips.clone().unwrap_or_default());
        wrong.push(FieldError::invalid("spec.clusterIPs[0]", shown, "may not change once set"));
    }
}
