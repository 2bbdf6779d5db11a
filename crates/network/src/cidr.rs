//! Address ranges: which one a new cluster takes, and what a node's own range is divided into. Pure.
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Without a namespace, pod addresses come from here: all of 127/8 is bindable on Linux, and the lower half is what people use by hand.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 64, 0, 0), 10);
/// A node's share of it: 4,094 pods, 1,024 shares.
const LOOPBACK_NODE_BITS: u8 = 20;
/// A cluster's share of it, when the server hands out nodes' ranges.
const LOOPBACK_CLUSTER_BITS: u8 = 16;
/// The second byte of a new cluster's range, up to the one below Services: thirteen blocks of sixteen nodes with 16,000 pods each.
const SECOND_BYTES: std::ops::Range<u8> = 44..96;

/// Ranges for a new cluster's pods, best first.
pub fn cluster_cidrs() -> Vec<Ipv4Net> {
    SECOND_BYTES.step_by(4).map(|second| Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), 14)).collect()
}

/// The first candidate that nothing on this machine routes yet. A default route is no objection.
pub fn free_cidr(candidates: &[Ipv4Net], routes: &[Ipv4Net]) -> Option<Ipv4Net> {
    candidates.iter().find(|candidate| !routes.iter().any(|route| route.prefix_len() > 0 && overlap(candidate, route))).copied()
}

/// A cluster's pod range where there is no namespace. `seed` tells clusters on one machine apart: the data folder.
pub fn loopback_cluster_cidr(seed: &str) -> Ipv4Net {
    share(seed, LOOPBACK_CLUSTER_BITS)
}

/// A node's pod range where there is no namespace and the server gave none out of 127/8.
pub(crate) fn loopback_node_cidr(seed: &str) -> Ipv4Net {
    share(seed, LOOPBACK_NODE_BITS)
}

pub(crate) fn is_loopback(net: &Ipv4Net) -> bool {
    net.network().is_loopback()
}

fn share(seed: &str, bits: u8) -> Ipv4Net {
    let shares = 1u64 << (bits - LOOPBACK.prefix_len());
    let nth = u32::try_from(hash(seed.as_bytes()) % shares).expect("a remainder of at most 2^22");
    let first = u32::from(LOOPBACK.network()) + (nth << (32 - bits));
    Ipv4Net::new_assert(Ipv4Addr::from(first), bits)
}

/// FNV-1a: the same in every build, because names on the machine are made of it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

pub(crate) fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The host's end of the pair, as pods see their node: the range's first address.
pub(crate) fn gateway(pods: Ipv4Net) -> Ipv4Addr {
    nth(pods, 1)
}

/// The namespace's own address: next hop for the host, source of probes and of the service proxy.
pub(crate) fn inside(pods: Ipv4Net) -> Ipv4Addr {
    nth(pods, 2)
}

/// The first address that a pod may have.
pub(crate) fn first_pod(pods: Ipv4Net) -> Ipv4Addr {
    nth(pods, 3)
}

fn nth(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).saturating_add(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(said: &str) -> Vec<Ipv4Net> {
        said.split_whitespace().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn takes_the_first_range_that_nobody_routes() {
        for (candidates, routes, expected) in [
            ("10.42.0.0/16 10.43.0.0/16", "", "10.42.0.0/16"),
            ("10.42.0.0/16 10.43.0.0/16", "0.0.0.0/0 192.0.2.0/24", "10.42.0.0/16"),
            ("10.42.0.0/16 10.43.0.0/16", "10.42.3.0/24", "10.43.0.0/16"),
            ("10.42.0.0/16 10.43.0.0/16", "10.42.3.7/32", "10.43.0.0/16"),
            ("10.42.0.0/16 10.43.0.0/16", "10.0.0.0/8", ""),
            ("10.42.0.0/16 10.43.0.0/16", "10.43.0.0/16 10.42.0.0/15", ""),
            ("", "", ""),
        ] {
            let found = free_cidr(&nets(candidates), &nets(routes)).map(|net| net.to_string()).unwrap_or_default();
            assert_eq!(found, expected, "{candidates} beside {routes}");
        }
    }

    #[test]
    fn candidates_leave_services_alone() {
        let services: Ipv4Net = "10.96.0.0/16".parse().unwrap();
        assert!(cluster_cidrs().iter().all(|candidate| !overlap(candidate, &services)));
    }

    #[test]
    fn loopback_shares_stay_in_their_range_and_differ() {
        let shares: std::collections::BTreeSet<_> = (0..20).map(|n| loopback_node_cidr(&format!("node-{n}"))).collect();
        assert!(shares.len() > 15, "{shares:?}");
        assert!(
            shares.iter().all(|share| LOOPBACK.contains(share) && share.prefix_len() == 20 && share.network() == share.addr()),
            "{shares:?}"
        );
        assert!(LOOPBACK.contains(&loopback_cluster_cidr("/var/lib/knarr")));
    }
}
