//! Requests and limits: their canonical writing, their defaults, their checks, and the class of service that they add up to.
use crate::field::{self, NOT_NEGATIVE, Wrong};
use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Written,
};
use knarr_machinery::{FieldError, Quantity, names};
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Written>;

const STANDARD: &[&str] = &["cpu", "ephemeral-storage", "memory"];

/// An amount, where it reads as one; what does not is refused by the check.
pub(crate) fn amount(written: &Written) -> Option<Quantity> {
    Quantity::parse(&written.0).ok()
}

/// Limits are requests too, unless those say otherwise.
pub(crate) fn fill_requests(resources: &mut ResourceRequirements) {
    let Some(limits) = resources.limits.as_ref().filter(|limits| !limits.is_empty()) else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`: who is evicted last.
pub(crate) fn qos_class(spec: &PodSpec) -> &'static str {
    let own = spec.resources.as_ref().filter(|r| counts(r.requests.as_ref()) + counts(r.limits.as_ref()) > 0);
    let all: Vec<_> = match own {
        Some(own) => vec![own],
        None => containers(spec).filter_map(|container| container.resources.as_ref()).collect(),
    };
    let total = if own.is_some() { 1 } else { containers(spec).count() };
    if all.iter().all(|r| counts(r.requests.as_ref()) + counts(r.limits.as_ref()) == 0) {
        return "BestEffort";
    }
    let fixed = |r: &ResourceRequirements| {
        ["cpu", "memory"].iter().all(|name| {
            let [limit, request] = [&r.limits, &r.requests].map(|amounts| amounts.as_ref().and_then(|a| a.get(*name)).and_then(amount));
            limit.is_some_and(|limit| !limit.is_zero()) && limit == request
        })
    };
    if all.len() == total && all.iter().all(|r| fixed(r)) { "Guaranteed" } else { "Burstable" }
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// How many of CPU and memory have an amount.
fn counts(amounts: Option<&Amounts>) -> usize {
    let counted = |name: &&str| amounts.and_then(|a| a.get(*name)).and_then(amount).is_some_and(|amount| !amount.is_zero());
    ["cpu", "memory"].iter().filter(|name| counted(name)).count()
}

pub(super) fn check(resources: &ResourceRequirements, path: &str, wrong: &mut Wrong) {
    let (limits, requests) = (resources.limits.iter().flatten(), resources.requests.iter().flatten());
    let mut huge = false;
    let mut plain = false;
    for (part, amounts) in [("limits", limits.collect::<Vec<_>>()), ("requests", requests.collect())] {
        for (name, written) in amounts {
            let at = format!("{path}.{part}[{name}]");
            check_name(name, &at, wrong);
            check_amount(name, written, &at, wrong);
            if part == "requests" {
                check_against_limit(name, written, resources.limits.as_ref(), path, wrong);
            }
            huge |= name.starts_with("hugepages-");
            plain |= name == "cpu" || name == "memory";
        }
    }
    if huge && !plain {
        wrong.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

fn check_name(name: &str, at: &str, wrong: &mut Wrong) {
    field::named(wrong, at, name, names::is_qualified_name);
    if name.contains('/') || STANDARD.contains(&name) || name.starts_with("hugepages-") {
        return;
    }
    wrong.push(FieldError::invalid(at, name, "must be a standard resource type or fully qualified"));
    wrong.push(FieldError::invalid(at, name, "must be a standard resource for containers"));
}

fn check_amount(name: &str, written: &Written, at: &str, wrong: &mut Wrong) {
    let amount = match Quantity::parse(&written.0) {
        Ok(amount) => amount,
        Err(why) => return wrong.push(FieldError::invalid(at, &*written.0, why.to_string())),
    };
    if amount.is_negative() {
        wrong.push(FieldError::invalid(at, amount.to_string(), NOT_NEGATIVE));
    }
    if is_counted(name) && amount != Quantity::from_count(amount.value()) {
        wrong.push(FieldError::invalid(at, amount.to_string(), "must be an integer"));
    }
}

/// Devices and huge pages come in whole pieces and are never promised twice.
fn is_counted(name: &str) -> bool {
    name.starts_with("hugepages-")
        || (name.contains('/') && !name.split('/').next().is_some_and(|domain| domain.ends_with("kubernetes.io")))
}

fn check_against_limit(name: &str, written: &Written, limits: Option<&Amounts>, path: &str, wrong: &mut Wrong) {
    let Some(request) = amount(written) else { return };
    let limit = limits.and_then(|limits| limits.get(name));
    let at = format!("{path}.requests");
    match limit.and_then(amount) {
        None if limit.is_none() && is_counted(name) => {
            wrong.push(FieldError::required(format!("{path}.limits"), "Limit must be set for non overcommitable resources"));
        }
        Some(limit) if is_counted(name) && request != limit => {
            wrong.push(FieldError::invalid(at, request.to_string(), format!("must be equal to {name} limit of {limit}")));
        }
        Some(limit) if request > limit => {
            wrong.push(FieldError::invalid(at, request.to_string(), format!("must be less than or equal to {name} limit of {limit}")));
        }
        _ => {}
    }
}

/// Texts for amounts of bytes that no machine can give.
pub(crate) fn warnings(resources: &ResourceRequirements, path: &str, said: &mut Vec<String>) {
    for (part, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in ["memory", "ephemeral-storage"] {
            let Some(amount) = amounts.as_ref().and_then(|a| a.get(name)).and_then(amount) else { continue };
            if amount != Quantity::from_count(amount.value()) {
                let text = amount.to_string();
                said.push(format!("{path}.{part}[{name}]: fractional byte value {text:?} is invalid, must be an integer"));
            }
        }
    }
}
