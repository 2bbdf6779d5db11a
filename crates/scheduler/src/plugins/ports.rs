//! Refuses nodes where a host port that the pod wants is taken.
use super::Plugin;
use crate::{
    decide::{Candidate, Refusal},
    node_info::NodeInfo,
};
use knarr_cluster::views::ContainerPort;

pub struct Ports;

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// `0.0.0.0` for all addresses.
    ip: Box<str>,
    protocol: Box<str>,
    port: u16,
}

impl HostPort {
    pub fn of(port: &ContainerPort) -> Option<Self> {
        let number = port.host_port.filter(|number| *number > 0)?;
        let or = |text: Option<&str>, default: &str| text.filter(|text| !text.is_empty()).unwrap_or(default).into();
        Some(Self { ip: or(port.host_ip.as_deref(), "0.0.0.0"), protocol: or(Some(&port.protocol), "TCP"), port: number })
    }

    fn clashes_with(&self, other: &Self) -> bool {
        let is_any = |port: &Self| &*port.ip == "0.0.0.0";
        self.port == other.port && self.protocol == other.protocol && (self.ip == other.ip || is_any(self) || is_any(other))
    }
}

impl Plugin for Ports {
    fn refuse(&self, pod: &Candidate, node: &NodeInfo) -> Option<Refusal> {
        let is_taken = |port: &HostPort| node.usage.ports.keys().any(|taken| taken.clashes_with(port));
        pod.share.ports.iter().find(|port| is_taken(port))?;
        Refusal::curable("node(s) didn't have free ports for the requested pod ports")
    }
}
