//! What this machine lets a node's network do, for people to read before it starts.
use nix::sched::CloneFlags;
use std::{fs, thread};

/// One thing that a machine gives or does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    pub name: &'static str,
    pub available: bool,
    /// What a node does without where it is not there.
    pub consequence: &'static str,
}

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

/// Looks at the machine; changes nothing. A few milliseconds.
pub fn capabilities() -> Vec<Capability> {
    let namespaces = may_have_namespace();
    let row = |name, available, consequence| Capability { name, available, consequence };
    vec![
        row("root", nix::unistd::geteuid().is_root(), "pods, runners and the agent share one user"),
        row(
            "network namespaces",
            namespaces,
            "pod addresses come from 127.64.0.0/10, and cluster IPs answer only to pods that call by http",
        ),
        row("lasting network namespaces", namespaces && may_write("/run"), "the pods' network is made again when the agent starts again"),
        row(
            "packet forwarding",
            forwards() || namespaces && may_write("/proc/sys/net/ipv4/ip_forward"),
            "pods of other nodes are not reachable",
        ),
        row("ports below 1024", low_ports(), "the Ingress needs ports from 1024 up"),
    ]
}

/// Whether a network namespace can be made and joined to the host. Tried on a thread that ends at once, and its namespace with it.
pub(crate) fn may_have_namespace() -> bool {
    holds(NET_ADMIN) && holds(SYS_ADMIN) && thread::spawn(|| nix::sched::unshare(CloneFlags::CLONE_NEWNET).is_ok()).join().unwrap_or(false)
}

fn holds(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    effective(&status).is_some_and(|set| set & (1 << capability) != 0)
}

fn effective(status: &str) -> Option<u64> {
    u64::from_str_radix(status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

fn may_write(folder: &str) -> bool {
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn forwards() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|said| said.trim() == "1")
}

fn low_ports() -> bool {
    const NET_BIND_SERVICE: u32 = 10;
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    holds(NET_BIND_SERVICE) || first.trim().parse::<u16>().is_ok_and(|first| first <= 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        for (status, expected) in [("Name:\tx\nCapEff:\t0000000000001000\n", Some(0x1000)), ("CapEff:\tzz\n", None), ("", None)] {
            assert_eq!(effective(status), expected, "{status:?}");
        }
    }

    #[test]
    fn names_what_is_lost() {
        assert!(capabilities().iter().all(|one| !one.name.is_empty() && !one.consequence.is_empty()));
    }
}
