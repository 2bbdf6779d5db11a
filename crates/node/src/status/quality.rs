//! The quality of service class: what a pod asks for, in one word.
use crate::pod::Pod;
use knarr_machinery::Quantity;

/// `Guaranteed`: every container limits cpu and memory and requests no less. `BestEffort`: none says anything. Otherwise `Burstable`.
pub(super) fn class_of(pod: &Pod) -> &'static str {
    let said: Vec<_> = pod.containers().map(|container| &container.resources).collect();
    let counted = |name: &str| name == "cpu" || name == "memory";
    if said.iter().all(|resources| !resources.limits.keys().chain(resources.requests.keys()).any(|name| counted(name))) {
        return "BestEffort";
    }
    let parse = |text: &str| Quantity::parse(text).ok();
    let guaranteed = said.iter().all(|resources| {
        ["cpu", "memory"].iter().all(|name| match (resources.limits.get(*name), resources.requests.get(*name)) {
            (Some(limit), Some(request)) => parse(limit) == parse(request),
            (Some(_), None) => true,
            (None, _) => false,
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}
