//! The project's own commands: `cargo xtask check | tidy | e2e | bench | gen-schema`.
mod bench;
mod check;
mod e2e;
mod gen_schema;
mod laws;
mod tidy;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, benchmarks and generators of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// What CI runs: formatting, clippy with warnings denied, tidy, tests, and cargo-deny where it is installed.
    Check,
    /// File sizes, file heads, and the laws of the map.
    Tidy,
    /// The end-to-end tests with real components; fails when one is missing and says how to get it.
    E2e,
    /// Writes the packed schema of the built-in kinds from its published sources.
    GenSchema {
        /// Only compare with the committed file.
        #[arg(long)]
        check: bool,
    },
    /// Measures and prints a table: `spine`.
    Bench {
        name: String,
        /// Figures as JSON.
        #[arg(long)]
        json: bool,
        /// Fewer objects and shorter loads, to see that it runs.
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Check => check::run(),
        Task::Tidy => tidy::run(),
        Task::E2e => e2e::run(),
        Task::GenSchema { check } => gen_schema::run(check),
        Task::Bench { name, json, quick } => bench::run(&name, json, quick),
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/xtask lies two below the root").to_owned()
}

/// Runs a program in the repository's root, says what it runs, and fails when it fails.
pub fn step(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    eprintln!("\n== {program} {}", arguments.join(" "));
    let status = Command::new(program).args(arguments).current_dir(root()).status().with_context(|| format!("starting {program}"))?;
    if !status.success() {
        bail!("{program} {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether a program answers at all.
pub fn is_there(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
