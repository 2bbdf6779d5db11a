//! `cargo xtask bench NAME`: builds what is measured with the release profile and runs the benchmark beside it.
use crate::{root, step};
use anyhow::bail;
use std::process::Command;

pub fn run(name: &str, json: bool, quick: bool) -> anyhow::Result<()> {
    if name != "spine" {
        bail!("no benchmark is called {name:?}; there is: spine");
    }
    step("cargo", &["build", "--release", "-p", "knarr", "-p", "knarr-tests", "--bins"])?;
    let flags = [json.then_some("--json"), quick.then_some("--quick")];
    let program = root().join("target/release/bench-spine");
    let status = Command::new(program).args(flags.into_iter().flatten()).current_dir(root()).status()?;
    if !status.success() {
        bail!("the benchmark failed: {status}");
    }
    Ok(())
}
