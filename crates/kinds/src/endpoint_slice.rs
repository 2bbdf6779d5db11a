//! EndpointSlice: a part of where a Service's pods answer.
use crate::{
    Kind, Strategy,
    column::{list, shortened},
    field::{self, Wrong, fill, text},
    service,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use knarr_machinery::{FieldError, Problem, names};
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr};

const MAX_ENDPOINTS: usize = 1000;
const MAX_PORTS: usize = 100;
const MAX_ADDRESSES: usize = 100;

#[derive(Clone)]
pub(crate) struct EndpointSlices;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .text_column("AddressType", "/addressType", "")
        .column("Ports", "string", |o, _| ports(o).into())
        .column("Endpoints", "string", |o, _| addresses(o).into())
        .age_column()
}

fn ports(slice: &Value) -> String {
    or_unset(list(slice, "/ports").iter().map(|port| port["port"].as_i64().map_or("*".into(), |number| number.to_string())).collect())
}

fn addresses(slice: &Value) -> String {
    let all = list(slice, "/endpoints").iter().flat_map(|endpoint| list(endpoint, "/addresses"));
    or_unset(all.filter_map(Value::as_str).map(String::from).collect())
}

fn or_unset(items: Vec<String>) -> String {
    if items.is_empty() { "<unset>".into() } else { shortened(&items) }
}

impl Strategy for EndpointSlices {
    type Object = EndpointSlice;

    fn default(&self, new: &mut EndpointSlice) {
        for port in new.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            fill(&mut port.protocol, "TCP");
        }
        for endpoint in new.endpoints.get_or_insert_default() {
            endpoint.conditions.get_or_insert_default();
        }
    }

    fn check(&self, new: &EndpointSlice, old: Option<&EndpointSlice>) -> Vec<FieldError> {
        let mut wrong = vec![];
        if new.address_type.is_empty() {
            field::required(&mut wrong, "addressType");
        } else {
            field::one_of(&mut wrong, "addressType", &new.address_type, &["FQDN", "IPv4", "IPv6"]);
        }
        check_ports(new.ports.as_deref().unwrap_or_default(), &mut wrong);
        let endpoints = new.endpoints.as_deref().unwrap_or_default();
        too_many(&mut wrong, "endpoints", endpoints.len(), MAX_ENDPOINTS);
        for (at, endpoint) in endpoints.iter().enumerate() {
            check_endpoint(endpoint, &new.address_type, &format!("endpoints[{at}]"), &mut wrong);
        }
        if old.is_some_and(|old| old.address_type != new.address_type) {
            wrong.push(FieldError::invalid("addressType", Value::Null, field::IMMUTABLE));
        }
        wrong
    }

    fn warnings(&self, new: &EndpointSlice) -> Vec<String> {
        if new.address_type == "FQDN" { vec!["spec.addressType: FQDN endpoints are deprecated".into()] } else { vec![] }
    }
}

fn too_many(wrong: &mut Wrong, path: &str, actual: usize, max: usize) {
    if actual > max {
        wrong.push(FieldError { path: path.into(), problem: Problem::TooMany { actual, max } });
    }
}

fn check_ports(ports: &[EndpointPort], wrong: &mut Wrong) {
    too_many(wrong, "ports", ports.len(), MAX_PORTS);
    let mut seen = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = format!("ports[{at}]");
        let name = text(&port.name);
        let before = wrong.len();
        if !name.is_empty() {
            field::named(wrong, &format!("{path}.name"), name, names::is_dns_label);
        }
        if wrong.len() == before && !seen.insert(name) {
            wrong.push(FieldError::duplicate(format!("{path}.name"), name));
        }
        field::one_of(wrong, &format!("{path}.protocol"), text(&port.protocol), &["SCTP", "TCP", "UDP"]);
    }
}

fn check_endpoint(endpoint: &Endpoint, address_type: &str, path: &str, wrong: &mut Wrong) {
    let at = format!("{path}.addresses");
    if endpoint.addresses.is_empty() {
        field::required(wrong, &at);
    }
    too_many(wrong, &at, endpoint.addresses.len(), MAX_ADDRESSES);
    for (index, address) in endpoint.addresses.iter().enumerate() {
        let item = format!("{at}[{index}]");
        match (address_type, address.parse::<IpAddr>()) {
            ("FQDN", _) => field::named(wrong, &item, address, names::is_dns_subdomain),
            ("IPv4" | "IPv6", Ok(ip)) => {
                if ip.is_ipv4() != (address_type == "IPv4") {
                    let article = if address_type == "IPv4" { "an IPv4" } else { "an IPv6" };
                    wrong.push(FieldError::invalid(&at, &**address, format!("must be {article} address")));
                }
                service::check_reachable(address, &item, wrong);
            }
            ("IPv4" | "IPv6", Err(_)) => field::named(wrong, &item, address, names::is_ip),
            _ => {}
        }
    }
    if let Some(name) = endpoint.hostname.as_deref() {
        field::named(wrong, &format!("{path}.hostname"), name, names::is_dns_label);
    }
    if let Some(name) = endpoint.node_name.as_deref() {
        field::named(wrong, &format!("{path}.nodeName"), name, names::is_dns_subdomain);
    }
}
