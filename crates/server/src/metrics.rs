//! `/metrics`: what the server counts, in Prometheus' text and under upstream's names. Labels are bounded: verbs, codes and the resources of
//! the table, never a name that a client made up.
use crate::state::State;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Upstream's bounds, thinned out.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 4.0, 10.0, 60.0];
/// Different labels: verbs times resources times codes of all built-in kinds fit; beyond it nothing new is counted.
const SERIES_MAX: usize = 10_000;
/// Linux' clock ticks and pages, as every supported machine has them.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub verb: &'static str,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
}

#[derive(Default, Clone, Copy)]
struct Histogram {
    counts: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

pub struct Metrics {
    requests: Mutex<BTreeMap<(Labels, u16), u64>>,
    durations: Mutex<BTreeMap<Labels, Histogram>>,
    pub watches: AtomicI64,
    pub in_flight: AtomicI64,
    started: f64,
}

impl Metrics {
    pub fn new(now: SystemTime) -> Self {
        let started = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { requests: Mutex::default(), durations: Mutex::default(), watches: AtomicI64::new(0), in_flight: AtomicI64::new(0), started }
    }

    pub fn count(&self, labels: Labels, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < SERIES_MAX {
            *requests.entry((labels.clone(), code)).or_default() += 1;
        }
        drop(requests);
        // A watch takes as long as its client wants.
        if labels.verb == "WATCH" {
            return;
        }
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        if durations.len() < SERIES_MAX {
            let histogram = durations.entry(labels).or_default();
            let seconds = took.as_secs_f64();
            for (count, _) in histogram.counts.iter_mut().zip(BUCKETS).filter(|(_, bound)| seconds <= *bound) {
                *count += 1;
            }
            histogram.sum += seconds;
            histogram.count += 1;
        }
    }

    pub fn text(&self, state: &State) -> String {
        let mut text = String::new();
        self.write_requests(&mut text);
        self.write_durations(&mut text);
        header(&mut text, "apiserver_storage_objects", "gauge", "Number of stored objects at the time of last check split by kind.");
        header(&mut text, "apiserver_resource_size_estimate_bytes", "gauge", "Estimated size of stored objects in the store.");
        for row in state.kinds.rows().iter().filter(|row| !row.ephemeral && row.stored.is_none()) {
            let size = state.shelf.size(&row.storage());
            line(&mut text, "apiserver_storage_objects", &format!("resource=\"{}\"", row.resource()), size.objects);
            line(&mut text, "apiserver_resource_size_estimate_bytes", &format!("resource=\"{}\"", row.resource()), size.object_bytes);
        }
        header(&mut text, "apiserver_current_inflight_requests", "gauge", "Requests being answered.");
        line(&mut text, "apiserver_current_inflight_requests", "", self.in_flight.load(Ordering::Relaxed));
        header(&mut text, "apiserver_longrunning_requests", "gauge", "Watches that are open.");
        line(&mut text, "apiserver_longrunning_requests", "verb=\"WATCH\"", self.watches.load(Ordering::Relaxed));
        self.write_process(&mut text);
        text
    }

    fn write_requests(&self, text: &mut String) {
        header(
            text,
            "apiserver_request_total",
            "counter",
            "Counter of apiserver requests broken out for each verb, group, version, resource and HTTP response code.",
        );
        for ((labels, code), count) in &*self.requests.lock().unwrap_or_else(PoisonError::into_inner) {
            line(text, "apiserver_request_total", &format!("code=\"{code}\",{}", say(labels)), count);
        }
    }

    fn write_durations(&self, text: &mut String) {
        let name = "apiserver_request_duration_seconds";
        header(
            text,
            name,
            "histogram",
            "Response latency distribution in seconds for each verb, group, version, resource and subresource.",
        );
        for (labels, histogram) in &*self.durations.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = say(labels);
            for (count, bound) in histogram.counts.iter().zip(BUCKETS) {
                line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
            }
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), histogram.count);
            line(text, &format!("{name}_sum"), &labels, histogram.sum);
            line(text, &format!("{name}_count"), &labels, histogram.count);
        }
    }

    /// The process, as Prometheus' client libraries show it. What the machine does not tell is left out.
    fn write_process(&self, text: &mut String) {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: Vec<u64> = statm.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let [virtual_pages, resident_pages, ..] = pages[..] {
            header(text, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
            line(text, "process_virtual_memory_bytes", "", virtual_pages * PAGE_BYTES);
            header(text, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
            line(text, "process_resident_memory_bytes", "", resident_pages * PAGE_BYTES);
        }
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The program's name stands in parentheses and may hold anything; user and system time are the 12th and 13th field after it.
        let ticks: f64 = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse::<f64>().ok())
            .sum();
        header(text, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
        line(text, "process_cpu_seconds_total", "", ticks / TICKS_PER_SECOND);
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            header(text, "process_open_fds", "gauge", "Number of open file descriptors.");
            line(text, "process_open_fds", "", files.count());
        }
        header(text, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
        line(text, "process_start_time_seconds", "", self.started);
    }
}

fn say(labels: &Labels) -> String {
    let Labels { verb, group, version, resource, subresource } = labels;
    format!("group=\"{group}\",resource=\"{resource}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"")
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes everything");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    writeln!(text, "{name}{labels} {value}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_timed() {
        let metrics = Metrics::new(UNIX_EPOCH);
        let labels =
            |verb| Labels { verb, group: String::new(), version: "v1".into(), resource: "pods".into(), subresource: String::new() };
        metrics.count(labels("GET"), 200, Duration::from_millis(30));
        metrics.count(labels("GET"), 200, Duration::from_secs(3));
        metrics.count(labels("WATCH"), 200, Duration::from_secs(600));
        let mut text = String::new();
        metrics.write_requests(&mut text);
        metrics.write_durations(&mut text);
        for expected in [
            r#"apiserver_request_total{code="200",group="",resource="pods",subresource="",verb="GET",version="v1"} 2"#,
            r#"apiserver_request_duration_seconds_bucket{group="",resource="pods",subresource="",verb="GET",version="v1",le="0.05"} 1"#,
            r#"apiserver_request_duration_seconds_bucket{group="",resource="pods",subresource="",verb="GET",version="v1",le="+Inf"} 2"#,
            r#"apiserver_request_duration_seconds_sum{group="",resource="pods",subresource="",verb="GET",version="v1"} 3.03"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
        assert!(!text.contains(r#"seconds_count{group="",resource="pods",subresource="",verb="WATCH""#));
    }
}
