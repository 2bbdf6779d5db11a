//! The part of a Pod that Pods and pod templates have in common: its defaults and its checks.
mod affinity;
mod container;
mod defaults;
mod probe;
mod resources;
mod scheduling;
mod security;
mod volume;

pub(crate) use container::image_pull_policy;
pub(crate) use defaults::{default, default_pod_only};
pub(crate) use resources::{fill_requests, qos_class, warnings as resource_warnings};
pub(crate) use scheduling::check_tolerations;

use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{PodSpec, Volume};
use knarr_machinery::{FieldError, names};
use std::collections::BTreeSet;

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

/// What the checks of containers need to know of the pod around them.
pub(crate) struct Around<'a> {
    volumes: BTreeSet<&'a str>,
    host_network: bool,
}

pub(crate) fn check(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    let around = Around {
        volumes: volume::check_all(volumes(spec), &format!("{path}.volumes"), wrong),
        host_network: spec.host_network == Some(true),
    };
    container::check_all(spec, &around, path, wrong);
    field::one_of(wrong, &format!("{path}.restartPolicy"), text(&spec.restart_policy), RESTART_POLICIES);
    check_dns_policy(spec, path, wrong);
    field::labels(wrong, &format!("{path}.nodeSelector"), spec.node_selector.iter().flatten());
    security::check_pod(spec, path, wrong);
    if let Some(affinity) = &spec.affinity {
        affinity::check(affinity, &format!("{path}.affinity"), wrong);
    }
    check_dns_config(spec, path, wrong);
    scheduling::check(spec, path, wrong);
    check_names(spec, path, wrong);
    if let Some(seconds) = spec.active_deadline_seconds.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds)) {
        let detail = format!("must be between 1 and {}, inclusive", i32::MAX);
        wrong.push(FieldError::invalid(format!("{path}.activeDeadlineSeconds"), seconds, detail));
    }
    check_host_aliases(spec, path, wrong);
}

fn volumes(spec: &PodSpec) -> &[Volume] {
    spec.volumes.as_deref().unwrap_or_default()
}

fn check_dns_policy(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    let at = format!("{path}.dnsPolicy");
    field::one_of(wrong, &at, text(&spec.dns_policy), DNS_POLICIES);
    let servers = spec.dns_config.as_ref().and_then(|config| config.nameservers.as_ref()).map_or(0, Vec::len);
    if text(&spec.dns_policy) == "None" && servers == 0 {
        let (at, detail) = match &spec.dns_config {
            None => (format!("{path}.dnsConfig"), "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(_) => (format!("{path}.dnsConfig.nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"),
        };
        wrong.push(FieldError::required(at, detail));
    }
}

fn check_dns_config(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    let Some(config) = &spec.dns_config else { return };
    let path = format!("{path}.dnsConfig");
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if servers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        wrong.push(FieldError::invalid(format!("{path}.nameservers"), field::json(&servers), detail));
    }
    for (at, server) in servers.iter().enumerate() {
        field::named(wrong, &format!("{path}.nameservers[{at}]"), server, names::is_ip);
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > MAX_SEARCHES {
        wrong.push(FieldError::invalid(
            format!("{path}.searches"),
            field::json(&searches),
            format!("must not have more than {MAX_SEARCHES} search paths"),
        ));
    }
    for (at, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        field::named(wrong, &format!("{path}.searches[{at}]"), search.strip_suffix('.').unwrap_or(search), names::is_dns_subdomain);
    }
    for (at, option) in config.options.iter().flatten().enumerate() {
        if text(&option.name).is_empty() {
            wrong.push(FieldError::required(format!("{path}.options[{at}]"), "must not be empty"));
        }
    }
}

fn check_names(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    let mut hold = |name: &str, value: &Option<String>, rule: fn(&str) -> Vec<String>| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            field::named(wrong, &format!("{path}.{name}"), value, rule);
        }
    };
    hold("serviceAccountName", &spec.service_account_name, names::is_dns_subdomain);
    hold("nodeName", &spec.node_name, names::is_dns_subdomain);
    hold("hostname", &spec.hostname, names::is_dns_label);
    hold("subdomain", &spec.subdomain, names::is_dns_label);
    hold("priorityClassName", &spec.priority_class_name, names::is_dns_subdomain);
    hold("runtimeClassName", &spec.runtime_class_name, names::is_dns_subdomain);
    if let Some(policy) = &spec.preemption_policy {
        field::one_of(wrong, &format!("{path}.preemptionPolicy"), policy, &["Never", "PreemptLowerPriority"]);
    }
    if let Some(os) = &spec.os {
        field::one_of(wrong, &format!("{path}.os"), &os.name, &["linux", "windows"]);
    }
}

fn check_host_aliases(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    for (at, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = format!("{path}.hostAliases[{at}]");
        field::named(wrong, &format!("{path}.ip"), &alias.ip, names::is_ip);
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            field::named(wrong, &format!("{path}.hostnames[{at}]"), name, names::is_dns_subdomain);
        }
    }
}
