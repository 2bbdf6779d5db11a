//! What this machine gives a node, and what a node will do without.
use knarr_network::{Capability, capabilities};

/// The report: what is there in one line, and a line for each thing that is not.
pub struct Report {
    capabilities: Vec<Capability>,
}

pub fn look() -> Report {
    let mut all = capabilities();
    let row = |name, available, consequence| Capability { name, available, consequence };
    all.push(row(
        "control groups",
        knarr_runtime_wasm::has_control_groups(),
        "one tenant's runner may take memory and processes that others need",
    ));
    all.push(row("landlock", knarr_runner::has_landlock(), "runners' files are kept apart by user and by WASI only"));
    all.push(row("seccomp", knarr_runner::has_seccomp(), "runners may make any system call that their user may"));
    Report { capabilities: all }
}

/// Whether pods get a network namespace here.
pub fn has_network_namespaces() -> bool {
    capabilities().iter().any(|c| c.name == "network namespaces" && c.available)
}

impl Report {
    pub fn lines(&self) -> Vec<String> {
        let there: Vec<_> = self.capabilities.iter().filter(|c| c.available).map(|c| c.name).collect();
        let mut lines = vec![format!("machine: {}", if there.is_empty() { "nothing special".into() } else { there.join(", ") })];
        lines.extend(self.capabilities.iter().filter(|c| !c.available).map(|c| format!("without {}: {}", c.name, c.consequence)));
        lines
    }
}
