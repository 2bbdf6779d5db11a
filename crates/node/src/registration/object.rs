//! The Node object and its status. Pure.
use crate::{
    config::Config,
    machine::{Load, Machine},
};
use jiff::Timestamp;
use knarr_machinery::Quantity;
use serde_json::{Map, Value, json};

/// The level of the API that this agent speaks.
const KUBELET_VERSION: &str = concat!("v1.37.0+knarr.", env!("CARGO_PKG_VERSION"));
const RUNTIME_VERSION: &str = concat!("knarr://", env!("CARGO_PKG_VERSION"));
/// A resident pod is a record and a listener, not a process, so Kubernetes' 110 does not apply; 10,000 is what has been measured on one node.
const MAX_PODS: i64 = 10_000;
/// Kept from pods for the system and the agent: at this much available memory pods would press on them. Kubernetes' own threshold.
const MEMORY_LEFT_BYTES: i64 = 100 << 20;
/// Kubernetes' own threshold for a node's disk.
const STORAGE_LEFT_PERCENT: i64 = 10;
/// Fewer free process numbers than this, and the machine itself cannot start what it needs.
const PROCESSES_LEFT: i64 = 1000;

pub(super) fn node(config: &Config, machine: &Machine) -> Value {
    let mut labels: Map<String, Value> = config.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    // Pods that say nothing of an operating system mean Linux; guests ask nothing of one, and the agent gives them a Linux node's API.
    for (name, value) in [("arch", machine.architecture), ("os", "linux"), ("hostname", &config.node_name)] {
        labels.insert(format!("kubernetes.io/{name}"), json!(value));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels},
    })
}

/// `current`: the status as it is, whose times of change are kept; null if it is not known.
pub(super) fn status(config: &Config, machine: &Machine, load: &Load, port: u16, current: &Value, now: Timestamp) -> Value {
    let bytes = |bytes: i64| json!(Quantity::from_bytes(bytes).to_string());
    // As a server writes quantities: what it changed would look like news at every heartbeat.
    let cpu = json!(Quantity::from_millis(machine.cpu_millis).to_string());
    let pods = json!(Quantity::from_millis(MAX_PODS * 1000).to_string());
    let resources = |memory: i64, storage: i64| {
        json!({
            "cpu": cpu,
            "memory": bytes(memory / 1024 * 1024),
            "ephemeral-storage": bytes(storage / 1024 * 1024),
            "pods": pods,
        })
    };
    let storage_left = machine.storage_bytes / 100 * STORAGE_LEFT_PERCENT;
    json!({
        "capacity": resources(machine.memory_bytes, machine.storage_bytes),
        "allocatable": resources((machine.memory_bytes - MEMORY_LEFT_BYTES).max(0), machine.storage_bytes - storage_left),
        "conditions": conditions(load, current, now),
        "addresses": [
            {"type": "InternalIP", "address": config.node_address},
            {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.machine_id,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": RUNTIME_VERSION,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    })
}

fn conditions(load: &Load, current: &Value, now: Timestamp) -> Value {
    let pressure = [
        (
            "MemoryPressure",
            load.memory_available_bytes < MEMORY_LEFT_BYTES,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        (
            "DiskPressure",
            load.storage_available_bytes < load.storage_bytes / 100 * STORAGE_LEFT_PERCENT,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        (
            "PIDPressure",
            load.processes_max.saturating_sub(load.processes) < PROCESSES_LEFT,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        ("Ready", true, ("KubeletReady", "kubelet is posting ready status"), ("", "")),
    ];
    let ours = pressure.map(|(kind, is_true, yes, no)| {
        let (reason, message) = if is_true { yes } else { no };
        let status = if is_true { "True" } else { "False" };
        let old = current["conditions"].as_array().and_then(|all| all.iter().find(|old| old["type"] == kind));
        let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": seconds(now),
            "lastTransitionTime": since.unwrap_or_else(|| json!(seconds(now))),
        })
    });
    let others = current["conditions"].as_array().into_iter().flatten();
    let others = others.filter(|old| ours.iter().all(|own| own["type"] != old["type"])).cloned();
    Value::Array(ours.iter().cloned().chain(others).collect())
}

/// Whether a status says something new, heartbeats aside.
pub(super) fn differs(wanted: &Value, current: &Value) -> bool {
    let still = |value: &Value| {
        let mut value = value.clone();
        for condition in value["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastHeartbeatTime"] = Value::Null;
        }
        value
    };
    let (wanted, current) = (still(wanted), still(current));
    let fields = wanted.as_object().into_iter().flatten();
    fields.into_iter().any(|(field, value)| current[field] != *value)
}

fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Leases count in microseconds.
pub(super) fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(memory: i64, storage: i64, processes: i64) -> Load {
        Load {
            memory_available_bytes: memory,
            storage_available_bytes: storage,
            storage_bytes: 1000 << 20,
            processes,
            processes_max: 32768,
        }
    }

    fn says(load: &Load) -> Vec<String> {
        let all = conditions(load, &Value::Null, Timestamp::UNIX_EPOCH);
        all.as_array()
            .unwrap()
            .iter()
            .map(|c| format!("{}={} {}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap(), c["reason"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn tells_of_pressure_in_the_kubelets_words() {
        assert_eq!(
            says(&load(1 << 30, 900 << 20, 300)),
            [
                "MemoryPressure=False KubeletHasSufficientMemory",
                "DiskPressure=False KubeletHasNoDiskPressure",
                "PIDPressure=False KubeletHasSufficientPID",
                "Ready=True KubeletReady"
            ]
        );
        let pressed = says(&load(1 << 20, 50 << 20, 32_000));
        assert_eq!(
            &pressed[..3],
            [
                "MemoryPressure=True KubeletHasInsufficientMemory",
                "DiskPressure=True KubeletHasDiskPressure",
                "PIDPressure=True KubeletHasInsufficientPID"
            ]
        );
    }

    #[test]
    fn keeps_the_time_of_change_and_the_conditions_of_others() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let calm = load(1 << 30, 900 << 20, 300);
        let mut current = json!({"conditions": conditions(&calm, &Value::Null, early)});
        current["conditions"].as_array_mut().unwrap().push(json!({"type": "NetworkUnavailable", "status": "False"}));
        let next = conditions(&load(1 << 20, 900 << 20, 300), &current, late);
        assert_eq!(
            (&next[0]["lastTransitionTime"], &next[1]["lastTransitionTime"]),
            (&json!("1970-01-01T00:01:00Z"), &json!("1970-01-01T00:00:00Z"))
        );
        assert_eq!(next[4]["type"], "NetworkUnavailable");
        assert!(differs(&json!({"conditions": next}), &current));
        assert!(!differs(&json!({"conditions": conditions(&calm, &current, late)}), &current));
    }

    #[test]
    fn a_server_has_nothing_to_change_in_the_resources() {
        let config = crate::agent::tests::cluster::World::new().agent(crate::agent::tests::cluster::kubelet()).config;
        let machine = Machine { cpu_millis: 2500, memory_bytes: (24 << 30) + 4096, storage_bytes: 270_553_174_016, ..Machine::default() };
        let status = status(&config, &machine, &load(1 << 30, 900 << 20, 300), 1, &Value::Null, Timestamp::UNIX_EPOCH);
        for list in ["capacity", "allocatable"] {
            for (name, quantity) in status[list].as_object().unwrap() {
                let quantity = quantity.as_str().unwrap();
                assert_eq!(Quantity::parse(quantity).unwrap().to_string(), quantity, "{list} {name}");
            }
        }
    }

    #[test]
    fn a_lease_counts_in_microseconds() {
        assert_eq!(micro_time(Timestamp::from_second(60).unwrap()), "1970-01-01T00:01:00.000000Z");
    }
}
