//! Metrics in Prometheus' text format, under Kubernetes' names.
use crate::agent::Shared;
use knarr_runtime::{ContainerId, Usage};
use std::fmt::Write as _;

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

pub(super) fn of_node(shared: &Shared) -> String {
    let (pods, containers) = shared.slots.running();
    let mut page = Page(String::new());
    page.head("kubelet_running_pods", "gauge", "Pods with a container that runs");
    page.one("kubelet_running_pods", "", pods);
    page.head("kubelet_running_containers", "gauge", "Containers by state");
    page.one("kubelet_running_containers", "{container_state=\"running\"}", containers);
    page.head("kubelet_node_name", "gauge", "The node's name; the value is always 1");
    page.one("kubelet_node_name", &format!("{{node={:?}}}", shared.config.node_name), 1);
    process(&mut page);
    page.0
}

fn process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss_kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let cpu_s = cpu_seconds(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default());
    page.head("process_resident_memory_bytes", "gauge", "Resident memory");
    page.one("process_resident_memory_bytes", "", rss_kib.unwrap_or(0) * 1024);
    page.head("process_open_fds", "gauge", "Open file descriptors");
    page.one("process_open_fds", "", files);
    page.head("process_cpu_seconds_total", "counter", "Processor time, user and system");
    page.one("process_cpu_seconds_total", "", cpu_s);
}

/// utime and stime, counted from the end of the name in parentheses, in hundredths of a second as Linux reports them everywhere.
fn cpu_seconds(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

pub(super) fn of_containers(shared: &Shared, usage: &[(ContainerId, Usage)]) -> String {
    let mut page = Page(String::new());
    let named: Vec<(String, Usage)> = usage.iter().filter_map(|(id, usage)| Some((labels(shared, id)?, *usage))).collect();
    page.head("container_cpu_usage_seconds_total", "counter", "Processor time of a container's guests");
    for (labels, usage) in &named {
        let (s, ns) = (usage.cpu_ns / 1_000_000_000, usage.cpu_ns % 1_000_000_000);
        page.one("container_cpu_usage_seconds_total", labels, format_args!("{s}.{ns:09}"));
    }
    page.head("container_memory_working_set_bytes", "gauge", "Memory of a container's guests");
    for (labels, usage) in &named {
        page.one("container_memory_working_set_bytes", labels, usage.memory_bytes);
    }
    page.head("knarr_container_requests_total", "counter", "Requests that a container has answered");
    for (labels, usage) in &named {
        page.one("knarr_container_requests_total", labels, usage.requests);
    }
    page.0
}

fn labels(shared: &Shared, id: &ContainerId) -> Option<String> {
    let (uid, rest) = id.0.split_once('/')?;
    let container = rest.split('/').next()?;
    let entry = shared.slots.entry(uid)?;
    Some(format!("{{namespace={:?},pod={:?},container={container:?}}}", entry.key.namespace, entry.key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_processor_time_whatever_the_process_is_called() {
        assert!((cpu_seconds("7 (a) b) S 1 1 1 0 -1 4194304 10 0 0 0 150 50 0 0 20 0") - 2.0).abs() < 1e-9);
        assert!(cpu_seconds("nonsense").abs() < 1e-9);
    }
}
