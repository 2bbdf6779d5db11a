//! Endpoints: the older list of where a Service's pods answer.
use crate::{
    Kind, Strategy,
    column::{count, list, or_none, shortened, text},
    field::{self, Wrong, fill},
    service,
};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use knarr_machinery::{FieldError, names};
use serde_json::Value;

#[derive(Clone)]
pub(crate) struct AllEndpoints;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column().column("Endpoints", "string", |o, _| addresses(o).into()).age_column()
}

/// `10.0.0.1:80,10.0.0.2:80`: every ready address with every port.
fn addresses(object: &Value) -> String {
    let mut all = vec![];
    for subset in list(object, "/subsets") {
        let ips = || list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            all.extend(ips().map(String::from));
        }
        for port in ports {
            all.extend(ips().map(|ip| {
                if ip.contains(':') { format!("[{ip}]:{}", count(port, "/port")) } else { format!("{ip}:{}", count(port, "/port")) }
            }));
        }
    }
    or_none(shortened(&all))
}

impl Strategy for AllEndpoints {
    type Object = Endpoints;

    fn default(&self, new: &mut Endpoints) {
        for port in new.subsets.iter_mut().flatten().flat_map(|subset| subset.ports.iter_mut().flatten()) {
            fill(&mut port.protocol, "TCP");
        }
    }

    fn check(&self, new: &Endpoints, _old: Option<&Endpoints>) -> Vec<FieldError> {
        let mut wrong = vec![];
        for (at, subset) in new.subsets.iter().flatten().enumerate() {
            let path = format!("subsets[{at}]");
            let (ready, waiting) =
                (subset.addresses.as_deref().unwrap_or_default(), subset.not_ready_addresses.as_deref().unwrap_or_default());
            if ready.is_empty() && waiting.is_empty() {
                wrong.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
            }
            for (part, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
                for (at, address) in addresses.iter().enumerate() {
                    check_address(address, &format!("{path}.{part}[{at}]"), &mut wrong);
                }
            }
            let ports = subset.ports.as_deref().unwrap_or_default();
            for (at, port) in ports.iter().enumerate() {
                let path = format!("{path}.ports[{at}]");
                match field::text(&port.name) {
                    "" if ports.len() > 1 => field::required(&mut wrong, &format!("{path}.name")),
                    "" => {}
                    name => field::named(&mut wrong, &format!("{path}.name"), name, names::is_dns_label),
                }
                field::port_number(&mut wrong, &format!("{path}.port"), port.port);
                field::one_of(&mut wrong, &format!("{path}.protocol"), field::text(&port.protocol), &["SCTP", "TCP", "UDP"]);
            }
        }
        wrong
    }

    fn warnings(&self, _new: &Endpoints) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()]
    }
}

fn check_address(address: &EndpointAddress, path: &str, wrong: &mut Wrong) {
    let at = format!("{path}.ip");
    let before = wrong.len();
    field::named(wrong, &at, &address.ip, names::is_ip);
    if wrong.len() > before {
        // The real server says it twice, once for the form and once for the range.
        wrong.push(FieldError::invalid(&at, &*address.ip, "must be a valid IP address"));
    } else {
        service::check_reachable(&address.ip, &at, wrong);
    }
    if let Some(name) = address.hostname.as_deref().filter(|name| !name.is_empty()) {
        field::named(wrong, &format!("{path}.hostname"), name, names::is_dns_label);
    }
}
