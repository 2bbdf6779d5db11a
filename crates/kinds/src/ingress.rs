//! Ingress: hosts and paths, each with one backend. IngressClass beside it.
use crate::{
    Kind, Strategy,
    column::{list, shortened, text as cell},
    field::{self, Wrong, text},
    service,
};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressClassSpec, IngressRule};
use knarr_machinery::{FieldError, names};
use serde_json::Value;

#[derive(Clone)]
pub(crate) struct Ingresses;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .text_column("Class", "/spec/ingressClassName", "<none>")
        .column("Hosts", "string", |o, _| hosts(o).into())
        .column("Address", "string", |o, _| service::load_balancer(o).into())
        .column("Ports", "string", |o, _| if list(o, "/spec/tls").is_empty() { "80" } else { "80, 443" }.into())
        .age_column()
}

fn hosts(ingress: &Value) -> String {
    let named: Vec<_> =
        list(ingress, "/spec/rules").iter().map(|rule| cell(rule, "/host").to_owned()).filter(|host| !host.is_empty()).collect();
    if named.is_empty() { "*".into() } else { shortened(&named) }
}

impl Strategy for Ingresses {
    type Object = Ingress;

    fn prepare(&self, new: &mut Ingress, _old: Option<&Ingress>) {
        new.spec.get_or_insert_default();
        new.status.get_or_insert_default().load_balancer.get_or_insert_default();
    }

    fn check(&self, new: &Ingress, _old: Option<&Ingress>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let spec = new.spec.clone().unwrap_or_default();
        let rules = spec.rules.unwrap_or_default();
        if rules.is_empty() && spec.default_backend.is_none() {
            wrong.push(FieldError::invalid("spec", field::json(&new.spec), "either `defaultBackend` or `rules` must be specified"));
        }
        if let Some(backend) = &spec.default_backend {
            check_backend(backend, "spec.defaultBackend", &mut wrong);
        }
        for (at, rule) in rules.iter().enumerate() {
            check_rule(rule, &format!("spec.rules[{at}]"), &mut wrong);
        }
        for (at, tls) in spec.tls.iter().flatten().enumerate() {
            for (index, host) in tls.hosts.iter().flatten().enumerate() {
                check_host(host, &format!("spec.tls[{at}].hosts[{index}]"), &mut wrong);
            }
            if let Some(name) = tls.secret_name.as_deref().filter(|name| !name.is_empty()) {
                field::named(&mut wrong, &format!("spec.tls[{at}].secretName"), name, names::is_dns_subdomain);
            }
        }
        if let Some(name) = &spec.ingress_class_name {
            field::named(&mut wrong, "spec.ingressClassName", name, names::is_dns_subdomain);
        }
        wrong
    }
}

fn check_host(host: &str, path: &str, wrong: &mut Wrong) {
    let rule = if host.contains('*') { names::is_wildcard_dns_subdomain } else { names::is_dns_subdomain };
    field::named(wrong, path, host, rule);
}

fn check_rule(rule: &IngressRule, path: &str, wrong: &mut Wrong) {
    let host = text(&rule.host);
    if !host.is_empty() {
        let at = format!("{path}.host");
        if host.parse::<std::net::IpAddr>().is_ok() {
            wrong.push(FieldError::invalid(&at, host, "must be a DNS name, not an IP address"));
        }
        check_host(host, &at, wrong);
    }
    let Some(http) = &rule.http else { return };
    if http.paths.is_empty() {
        field::required(wrong, &format!("{path}.http.paths"));
    }
    for (at, item) in http.paths.iter().enumerate() {
        let path = format!("{path}.http.paths[{at}]");
        check_path(item, &path, wrong);
        check_backend(&item.backend, &format!("{path}.backend"), wrong);
    }
}

fn check_path(item: &HTTPIngressPath, path: &str, wrong: &mut Wrong) {
    let (value, at) = (text(&item.path), format!("{path}.path"));
    match &*item.path_type {
        "" => wrong.push(FieldError::required(format!("{path}.pathType"), "pathType must be specified")),
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                wrong.push(FieldError::invalid(&at, value, "must be an absolute path"));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| value.contains(**part)) {
                wrong.push(FieldError::invalid(&at, value, format!("must not contain '{part}'")));
            }
            for end in ["/..", "/."].iter().filter(|end| value.ends_with(**end)) {
                wrong.push(FieldError::invalid(&at, value, format!("cannot end with '{end}'")));
            }
        }
        "ImplementationSpecific" if !value.is_empty() && !value.starts_with('/') => {
            wrong.push(FieldError::invalid(&at, value, "must be an absolute path"));
        }
        other => field::one_of(wrong, &format!("{path}.pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
}

fn check_backend(backend: &IngressBackend, path: &str, wrong: &mut Wrong) {
    let mut invalid = |detail: &str| wrong.push(FieldError::invalid(path, "", detail));
    match (&backend.service, &backend.resource) {
        (Some(_), Some(_)) => invalid("cannot set both resource and service backends"),
        (None, None) => invalid("resource or service backend is required"),
        (Some(service), None) => {
            let port = service.port.clone().unwrap_or_default();
            let (name, number) = (text(&port.name), port.number.unwrap_or_default());
            match (name, number) {
                ("", 0) => invalid("port name or number is required"),
                ("", number) => field::port_number(wrong, &format!("{path}.service.port.number"), number),
                (name, 0) => field::named(wrong, &format!("{path}.service.port.name"), name, names::is_port_name),
                _ => invalid("cannot set both port name & port number"),
            }
            field::named_and_there(wrong, &format!("{path}.service.name"), &service.name, names::is_dns_label);
        }
        (None, Some(resource)) => {
            for (part, value) in [("kind", &resource.kind), ("name", &resource.name)] {
                if value.is_empty() {
                    field::required(wrong, &format!("{path}.resource.{part}"));
                }
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct IngressClasses;

pub(crate) fn class_columns(kind: Kind) -> Kind {
    kind.name_column()
        .text_column("Controller", "/spec/controller", "")
        .column("Parameters", "string", |o, _| parameters(o).into())
        .age_column()
}

fn parameters(class: &Value) -> String {
    let Some(reference) = class.pointer("/spec/parameters").filter(|reference| reference.is_object()) else { return "<none>".into() };
    let group = match cell(reference, "/apiGroup") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    format!("{}{group}/{}", cell(reference, "/kind"), cell(reference, "/name"))
}

impl Strategy for IngressClasses {
    type Object = IngressClass;

    fn default(&self, new: &mut IngressClass) {
        if let Some(parameters) = new.spec.get_or_insert_default().parameters.as_mut() {
            field::fill(&mut parameters.scope, "Cluster");
        }
    }

    fn check(&self, new: &IngressClass, old: Option<&IngressClass>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let controller = |class: &IngressClass| class.spec.clone().unwrap_or_default().controller.unwrap_or_default();
        let now = controller(new);
        if now.is_empty() {
            field::required(&mut wrong, "spec.controller");
        } else if !now.contains('/') {
            wrong.push(FieldError::invalid("spec.controller", &*now, "must be a domain-prefixed path (such as \"acme.io/foo\")"));
        }
        if let Some(parameters) = new.spec.as_ref().and_then(|spec: &IngressClassSpec| spec.parameters.as_ref()) {
            for (part, value) in [("kind", &parameters.kind), ("name", &parameters.name)] {
                if value.is_empty() {
                    field::required(&mut wrong, &format!("spec.parameters.{part}"));
                }
            }
            field::one_of(&mut wrong, "spec.parameters.scope", text(&parameters.scope), &["Cluster", "Namespace"]);
        }
        if let Some(old) = old {
            field::immutable(&mut wrong, "spec.controller", &now, &controller(old));
        }
        wrong
    }
}
