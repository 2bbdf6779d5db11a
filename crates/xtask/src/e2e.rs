//! `cargo xtask e2e`: the tests that need real components. One that is missing is a failure that says how to get it.
use crate::{is_there, root, step};
use anyhow::bail;
use std::{path::PathBuf, process::Command};

/// A kubectl, and the words to build it with.
struct Kubectl {
    variable: &'static str,
    /// Beside the machine's own, where one stands.
    installed: &'static str,
    /// Built by `.ci/run`, or by the command that we name.
    source: &'static str,
}

const KUBECTLS: &[Kubectl] = &[
    Kubectl { variable: "KNARR_KUBECTL_OLDEST", installed: "kubectl.1.27", source: "oldest" },
    Kubectl { variable: "KNARR_KUBECTL_NEWEST", installed: "kubectl.1.37", source: "newest" },
];

pub fn run() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for kubectl in KUBECTLS {
        match find(kubectl) {
            Some(path) => {
                eprintln!("e2e: {} is {}", kubectl.source, path.display());
                found.push((kubectl.variable, path));
            }
            None => missing.push(format!(
                "kubectl ({0}): build it as .ci/run does, from the published Go module in tests/kubectl/{0}, or set {1} to one",
                kubectl.source, kubectl.variable
            )),
        }
    }
    if !is_there("ip", &["-V"]) {
        missing.push("the ip command, for a second machine's network: apt-get install iproute2".into());
    }
    if !missing.is_empty() {
        bail!("real components are missing:\n  {}", missing.join("\n  "));
    }
    step("cargo", &["build", "--workspace"])?;
    for (variable, path) in found {
        eprintln!("\n== kubectl tests with {}", path.display());
        let arguments = ["test", "--workspace", "--features", "knarr-tests/e2e", "--test", "kubectl"];
        let status = Command::new("cargo").args(arguments).env("KNARR_KUBECTL", &path).current_dir(root()).status()?;
        if !status.success() {
            bail!("the kubectl tests failed with {variable}={}", path.display());
        }
    }
    step("cargo", &["test", "--workspace", "--features", "knarr-tests/e2e", "--test", "nodes"])
}

fn find(kubectl: &Kubectl) -> Option<PathBuf> {
    let said = std::env::var_os(kubectl.variable).map(PathBuf::from);
    let built = root().join("target/kubectl").join(kubectl.source);
    let installed = which(kubectl.installed);
    [said, Some(built), installed].into_iter().flatten().find(|path| is_there(&path.to_string_lossy(), &["version", "--client"]))
}

/// On the PATH, or beside what `kubectl` on the PATH links to: version managers keep them there.
fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let beside = folders.iter().filter_map(|folder| Some(folder.join("kubectl").canonicalize().ok()?.parent()?.join(program)));
    folders.iter().map(|folder| folder.join(program)).chain(beside).find(|candidate| candidate.is_file())
}
