//! `cargo xtask gen-schema`: the packed schema of the built-in kinds, from the API's own definitions and its protobuf numbers.
//!
//! Two published packages are the sources, both pinned: the definitions with every `x-kubernetes-*` extension (a Python wheel), and the
//! messages (a crate whose sources carry the tags). Prose is left behind.
mod definitions;
mod messages;
mod pack;
mod zeros;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

const WHEEL: &str = "kubernetes_validate-1.37.0-py3-none-any.whl";
const WHEEL_REQUIREMENT: &str = "kubernetes-validate==1.37.0";
const WHEEL_SHA256: &str = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9";
const DEFINITIONS: &str = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local/_definitions.json";
const MESSAGES_VERSION: &str = "0.9.0";
const READ_DEFINITIONS: &str = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";

/// Writes `crates/kinds/src/schema.bin`, or with `check` only compares it with what would be written.
pub fn run(check: bool) -> anyhow::Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask stands among the crates")?;
    let target = crates.join("kinds/src/schema.bin");
    let work = tempfile::tempdir()?;
    let definitions = serde_json::from_slice(&read_definitions(&work_folder(crates), work.path())?)?;
    let messages = messages::read(&find_messages(work.path())?)?;
    let table = definitions::table(&definitions, &messages)?;
    let plain = pack::plain(&table)?;
    if check {
        let mut committed = vec![];
        flate2::read::DeflateDecoder::new(&*fs::read(&target)?).read_to_end(&mut committed)?;
        ensure!(committed == plain, "{} is not what gen-schema makes; run cargo xtask gen-schema", target.display());
        return Ok(());
    }
    fs::write(&target, pack::deflated(&plain)?).with_context(|| format!("writing {}", target.display()))
}

/// Where a wheel that was fetched before may lie.
fn work_folder(crates: &Path) -> PathBuf {
    crates.with_file_name("target").join("gen-schema")
}

fn read_definitions(kept: &Path, work: &Path) -> anyhow::Result<Vec<u8>> {
    let mut wheel = kept.join(WHEEL);
    if !wheel.exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]).arg(work).arg(WHEEL_REQUIREMENT);
        ensure!(
            pip.status().context("python3 with pip is needed to fetch the definitions")?.success(),
            "pip could not fetch {WHEEL_REQUIREMENT}"
        );
        wheel = work.join(WHEEL);
    }
    let digest: String = Sha256::digest(fs::read(&wheel)?).iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(digest == WHEEL_SHA256, "{} has sha256 {digest}, not {WHEEL_SHA256}", wheel.display());
    let output = Command::new("python3").args(["-c", READ_DEFINITIONS]).arg(&wheel).arg(DEFINITIONS).output()?;
    ensure!(output.status.success(), "reading the wheel: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Lets cargo fetch and verify the crate of messages, and says where its sources are.
fn find_messages(work: &Path) -> anyhow::Result<PathBuf> {
    let manifest = work.join("Cargo.toml");
    let text = format!(
        "[package]\nname = \"messages\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[dependencies]\nk8s-pb = \"={MESSAGES_VERSION}\"\n[workspace]\n"
    );
    fs::write(&manifest, text)?;
    fs::write(work.join("lib.rs"), "")?;
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(&manifest).exec()?;
    match metadata.packages.iter().find(|p| p.name.as_str() == "k8s-pb") {
        Some(package) => Ok(package.manifest_path.with_file_name("src").into_std_path_buf()),
        None => bail!("cargo found no k8s-pb"),
    }
}
