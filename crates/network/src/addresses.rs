//! Which pod has which address of the node's range. Pure bookkeeping.
//!
//! After a restart the agent claims for the pods it knows, naming the address each had, before it claims for new ones. Addresses are handed
//! out in a circle, so that one that was just given back rests as long as possible: somebody may still call its last owner.
use crate::cidr;
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

#[derive(Debug)]
pub struct Addresses {
    pods: Ipv4Net,
    by_uid: HashMap<String, Ipv4Addr>,
    taken: BTreeSet<Ipv4Addr>,
    next: Ipv4Addr,
}

impl Addresses {
    pub fn new(pods: Ipv4Net) -> Self {
        Self { pods, by_uid: HashMap::new(), taken: BTreeSet::new(), next: cidr::first_pod(pods) }
    }

    /// The address of a pod: the one it has, the one it had when that is free, or the next free one; nothing when all are taken.
    pub fn claim(&mut self, uid: &str, had: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some(has) = self.by_uid.get(uid) {
            return Some(*has);
        }
        let again = had.filter(|had| self.is_for_pods(*had) && !self.taken.contains(had));
        let address = again.or_else(|| self.next_free())?;
        self.taken.insert(address);
        self.by_uid.insert(uid.to_owned(), address);
        Some(address)
    }

    /// Gives back what a pod had.
    pub fn release(&mut self, uid: &str) {
        if let Some(address) = self.by_uid.remove(uid) {
            self.taken.remove(&address);
        }
    }

    fn is_for_pods(&self, address: Ipv4Addr) -> bool {
        (cidr::first_pod(self.pods)..self.pods.broadcast()).contains(&address)
    }

    fn next_free(&mut self) -> Option<Ipv4Addr> {
        let (first, end) = (cidr::first_pod(self.pods), self.pods.broadcast());
        let from = if self.is_for_pods(self.next) { self.next } else { first };
        let candidates = (u32::from(from)..u32::from(end)).chain(u32::from(first)..u32::from(from)).map(Ipv4Addr::from);
        let found = candidates.into_iter().find(|address| !self.taken.contains(address))?;
        self.next = Ipv4Addr::from(u32::from(found).saturating_add(1));
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps like `a`, `a=10.0.0.5` (had it), `-a` against a range and says what each claim got.
    fn run(range: &str, steps: &str) -> String {
        let mut addresses = Addresses::new(range.parse().unwrap());
        let mut got = Vec::new();
        for step in steps.split_whitespace() {
            if let Some(uid) = step.strip_prefix('-') {
                addresses.release(uid);
                continue;
            }
            let (uid, had) = step.split_once('=').map_or((step, None), |(uid, had)| (uid, Some(had.parse().unwrap())));
            got.push(addresses.claim(uid, had).map_or("none".into(), |address| address.octets()[3].to_string()));
        }
        got.join(" ")
    }

    #[test]
    fn hands_out_addresses() {
        for (what, range, steps, expected) in [
            ("starts after the node's own", "10.0.0.0/24", "a b", "3 4"),
            ("a pod keeps its address", "10.0.0.0/24", "a b a", "3 4 3"),
            ("one that was given back rests", "10.0.0.0/24", "a b -a c", "3 4 5"),
            ("and comes round again", "10.0.0.0/29", "a b c d -a e f", "3 4 5 6 3 none"),
            ("the address it had", "10.0.0.0/24", "a=10.0.0.9 b", "9 3"),
            ("unless another has it", "10.0.0.0/24", "a=10.0.0.9 b=10.0.0.9", "9 3"),
            ("or it is the node's", "10.0.0.0/24", "a=10.0.0.2", "3"),
            ("or of another range", "10.0.0.0/24", "a=10.0.1.9", "3"),
            ("passes over what is taken", "10.0.0.0/24", "a=10.0.0.4 b c", "4 3 5"),
            ("what it has wins over what it had", "10.0.0.0/24", "a a=10.0.0.9", "3 3"),
            ("giving back twice does no harm", "10.0.0.0/29", "a -a -a b", "3 4"),
        ] {
            assert_eq!(run(range, steps), expected, "{what}");
        }
    }
}
