//! The columns of `kubectl get services`.
use crate::{
    Kind,
    column::{count, labels, list, or_none, text, text_or},
};
use serde_json::Value;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .text_column("Type", "/spec/type", "")
        .text_column("Cluster-IP", "/spec/clusterIP", "<none>")
        .column("External-IP", "string", |service, _| external_ip(service).into())
        .column("Port(s)", "string", |service, _| ports(service).into())
        .age_column()
        .wide("Selector", "string", |service, _| labels(service, "/spec/selector").into())
}

fn external_ip(service: &Value) -> String {
    let ips: Vec<_> = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).map(String::from).collect();
    match text(service, "/spec/type") {
        "ExternalName" => text_or(service, "/spec/externalName", "<none>").into(),
        "LoadBalancer" => {
            let all: Vec<_> = [load_balancer(service)].into_iter().chain(ips).filter(|ip| !ip.is_empty()).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ => or_none(ips.join(",")),
    }
}

fn ports(service: &Value) -> String {
    let written = |port: &Value| {
        let (number, protocol) = (count(port, "/port"), text(port, "/protocol"));
        match count(port, "/nodePort") {
            0 => format!("{number}/{protocol}"),
            node_port => format!("{number}:{node_port}/{protocol}"),
        }
    };
    or_none(list(service, "/spec/ports").iter().map(written).collect::<Vec<_>>().join(","))
}

/// What a load balancer answers on, for Ingresses.
pub(crate) fn load_balancer(object: &Value) -> String {
    let ingress = list(object, "/status/loadBalancer/ingress");
    ingress.iter().map(|ingress| text_or(ingress, "/ip", text(ingress, "/hostname"))).collect::<Vec<_>>().join(",")
}
