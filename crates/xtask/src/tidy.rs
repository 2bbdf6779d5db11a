//! `cargo xtask tidy`: what the compiler does not check. Sizes and heads of files, names of files, words that belong in one room only.
use crate::{laws, root};
use anyhow::bail;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Past this a file holds a second idea; the wall is a failure.
const MAX_LINES: usize = 800;
/// Where these stand, behaviour is not found in two guesses.
const VAGUE: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "manager", "mod"];

pub fn run() -> anyhow::Result<()> {
    let mut found = laws::broken()?;
    for file in sources(&root())? {
        let text = fs::read_to_string(&file)?;
        let shown = file.strip_prefix(root()).unwrap_or(&file).to_owned();
        found.extend(in_file(&shown, &text));
    }
    for line in &found {
        eprintln!("tidy: {line}");
    }
    if !found.is_empty() {
        bail!("tidy found {} things", found.len());
    }
    eprintln!("tidy: all good");
    Ok(())
}

fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            all.extend(sources(&path)?);
        } else if name.ends_with(".rs") {
            all.push(path);
        }
    }
    Ok(all)
}

/// What is wrong with one file. Pure, so that the rules can be tested.
fn in_file(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{shown} has {lines} lines; {MAX_LINES} is the wall"));
    }
    // `name/tests.rs` holds the tests of `name.rs`, which says what it is.
    let is_tests_of_a_file = path.file_name().is_some_and(|name| name == "tests.rs");
    if !is_tests_of_a_file && !text.starts_with("//!") {
        found.push(format!("{shown} does not open with a sentence on what it is (//!)"));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if VAGUE.contains(&stem.as_str()) {
        found.push(format!("{shown} has a name that says nothing"));
    }
    let room = path.iter().nth(1).unwrap_or_default().to_string_lossy().into_owned();
    let in_tests = path.iter().any(|part| part == "tests") || path.starts_with("examples");
    if !in_tests && !["knarr", "xtask", "testkit"].contains(&room.as_str()) {
        for banned in ["std::env::var", "std::env::args", "process::exit"] {
            if production(text).contains(banned) {
                found.push(format!("{shown}: only knarr reads the environment or exits the process ({banned})"));
            }
        }
    }
    for banned in ["todo!(", "unimplemented!(", "#[ignore"] {
        if room != "xtask" && text.contains(banned) {
            found.push(format!("{shown}: {banned}"));
        }
    }
    found
}

/// The part of a file that is not its tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_untidy() {
        for (path, text, expected) in [
            ("crates/node/src/a.rs", "//! A.\n", ""),
            ("crates/node/src/a.rs", "fn a() {}\n", "does not open with a sentence"),
            ("crates/node/src/utils.rs", "//! A.\n", "a name that says nothing"),
            ("crates/node/src/a.rs", "//! A.\nfn a() { std::env::var(\"A\"); }\n", "only knarr reads the environment"),
            ("crates/node/src/a.rs", "//! A.\n#[cfg(test)]\nmod tests { fn a() { std::env::var(\"A\"); } }\n", ""),
            ("crates/knarr/src/a.rs", "//! A.\nfn a() { std::env::var(\"A\"); }\n", ""),
        ] {
            let found = in_file(Path::new(path), text).join("; ");
            assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{path}: {found:?}");
        }
    }
}
