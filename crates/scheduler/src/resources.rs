//! What pods ask for and nodes have, as numbers that compare quickly.
use knarr_cluster::views::{Container, Map, Pod};
use knarr_machinery::Quantity;
use std::collections::BTreeMap;

/// What a container without a request counts as when nodes are scored, so that many such pods spread; upstream's numbers.
const UNSAID_CPU_MILLIS: i64 = 100;
const UNSAID_MEMORY_BYTES: i64 = 200 << 20;

/// Amounts by resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub ephemeral_bytes: i64,
    /// Devices, huge pages and whatever else a node offers.
    pub others: BTreeMap<Box<str>, i64>,
}

/// What a pod takes of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    pub requests: Amounts,
    /// CPU in millis and memory in bytes, where saying nothing counts as a little.
    pub scored: (i64, i64),
}

/// What a node has for pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    pub amounts: Amounts,
    pub pods: i64,
}

impl Amounts {
    /// Amounts that cannot be read count as nothing: the server has refused them long before.
    fn read(quantities: &Map) -> Self {
        let mut amounts = Self::default();
        for (name, text) in quantities {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            match &**name {
                "cpu" => amounts.cpu_millis = quantity.milli(),
                "memory" => amounts.memory_bytes = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_bytes = quantity.value(),
                _ => drop(amounts.others.insert(name.clone(), quantity.value())),
            }
        }
        amounts
    }

    pub fn add(&mut self, more: &Self) {
        self.cpu_millis += more.cpu_millis;
        self.memory_bytes += more.memory_bytes;
        self.ephemeral_bytes += more.ephemeral_bytes;
        for (name, amount) in &more.others {
            *self.others.entry(name.clone()).or_default() += amount;
        }
    }

    pub fn subtract(&mut self, less: &Self) {
        self.cpu_millis -= less.cpu_millis;
        self.memory_bytes -= less.memory_bytes;
        self.ephemeral_bytes -= less.ephemeral_bytes;
        for (name, amount) in &less.others {
            *self.others.entry(name.clone()).or_default() -= amount;
        }
    }

    /// The larger of both, resource by resource.
    fn at_least(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.max(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.max(other.ephemeral_bytes);
        for (name, amount) in &other.others {
            let has = self.others.entry(name.clone()).or_default();
            *has = (*has).max(*amount);
        }
    }
}

impl Demand {
    pub fn of(pod: &Pod) -> Self {
        let overhead = Amounts::read(&pod.spec.overhead);
        let mut requests = at_peak(pod, requests);
        requests.add(&overhead);
        let mut scored = at_peak(pod, scored);
        scored.add(&overhead);
        Self { requests, scored: (scored.cpu_millis, scored.memory_bytes) }
    }
}

impl Supply {
    pub fn read(allocatable: &Map) -> Self {
        let mut amounts = Amounts::read(allocatable);
        let pods = amounts.others.remove("pods").unwrap_or(0);
        Self { amounts, pods }
    }
}

/// A limit without a request is a request.
fn requests(container: &Container) -> Amounts {
    let resources = &container.resources;
    let mut all = resources.limits.clone();
    all.extend(resources.requests.iter().map(|(name, text)| (name.clone(), text.clone())));
    Amounts::read(&all)
}

fn scored(container: &Container) -> Amounts {
    let says = |name: &str| container.resources.requests.contains_key(name) || container.resources.limits.contains_key(name);
    let mut amounts = requests(container);
    if !says("cpu") {
        amounts.cpu_millis = UNSAID_CPU_MILLIS;
    }
    if !says("memory") {
        amounts.memory_bytes = UNSAID_MEMORY_BYTES;
    }
    amounts
}

/// The most that a pod needs at any time: its containers and sidecars together, or one init container beside the sidecars started before it.
fn at_peak(pod: &Pod, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in &pod.spec.init_containers {
        let mut together = of(container);
        if is_sidecar(container) {
            sidecars.add(&together);
        } else {
            together.add(&sidecars);
            peak.at_least(&together);
        }
    }
    for container in &pod.spec.containers {
        sidecars.add(&of(container));
    }
    peak.at_least(&sidecars);
    peak
}

pub fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}
