//! The laws of the map (`crates/README.md`), held over the real arrows between crates.
use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeMap;

/// Each room, its floor, and the rooms it may use. A new arrow is a change of the map: here and in `crates/README.md`.
const MAP: &[(&str, u8, &[&str])] = &[
    ("machinery", 1, &[]),
    ("image", 1, &[]),
    ("runtime", 1, &[]),
    ("kinds", 2, &["machinery"]),
    ("store", 2, &["machinery"]),
    ("runner", 2, &["runtime"]),
    ("cluster", 3, &["machinery", "kinds"]),
    ("runtime-wasm", 3, &["runtime"]),
    ("access", 4, &["cluster", "kinds", "machinery"]),
    ("reconcile", 4, &["cluster", "machinery"]),
    ("server", 5, &["access", "cluster", "kinds", "store", "machinery"]),
    ("controllers", 5, &["reconcile", "cluster", "kinds", "machinery"]),
    ("scheduler", 5, &["reconcile", "cluster", "machinery"]),
    ("node", 5, &["cluster", "runtime", "image", "machinery"]),
    ("network", 5, &["cluster", "runtime", "machinery"]),
];

/// Nothing but the binary and the test cluster knows these.
const LEAVES: &[&str] = &["server", "runner", "runtime-wasm", "controllers", "scheduler", "node", "network"];

/// Crates that only one room may link.
const ONLY_IN: &[(&str, &str)] =
    &[("wasmtime", "runner"), ("wasmtime-wasi", "runner"), ("wasmtime-wasi-http", "runner"), ("redb", "store"), ("oci-client", "image")];

/// One line for each broken law.
pub fn broken() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    let arrows: BTreeMap<String, Vec<String>> = metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let uses = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.clone());
            (package.name.to_string(), uses.collect())
        })
        .collect();
    let mut found = judge(&arrows);
    let map = std::fs::read_to_string(crate::root().join("crates/README.md")).context("crates/README.md")?;
    for (room, _, _) in MAP {
        if !map.contains(&format!("`{room}`")) {
            found.push(format!("crates/README.md does not name `{room}`"));
        }
    }
    Ok(found)
}

/// Holds arrows against the map. Pure.
fn judge(arrows: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (package, uses) in arrows {
        let room = package.strip_prefix("knarr-").unwrap_or(package);
        let wiring = matches!(room, "knarr" | "testkit" | "tests" | "xtask");
        let plan = MAP.iter().find(|(name, _, _)| *name == room);
        if plan.is_none() && !wiring {
            found.push(format!("{package} is not on the map (crates/xtask/src/laws.rs and crates/README.md)"));
        }
        for used in uses {
            if let Some((_, home)) = ONLY_IN.iter().find(|(name, home)| name == used && *home != room) {
                found.push(format!("{package} links {used}: only {home} may"));
            }
            let Some(used_room) = used.strip_prefix("knarr-") else { continue };
            if wiring {
                continue;
            }
            if LEAVES.contains(&used_room) {
                found.push(format!("{package} depends on {used}: only knarr and testkit may"));
            }
            if plan.is_some_and(|(_, _, may_use)| !may_use.contains(&used_room)) {
                found.push(format!("{package} depends on {used}: that arrow is not on the map"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(package: &str, uses: &[&str]) -> String {
        judge(&BTreeMap::from([(package.to_owned(), uses.iter().map(|u| (*u).to_owned()).collect())])).join("; ")
    }

    #[test]
    fn holds_the_laws() {
        for (package, uses, expected) in [
            ("knarr-node", &["knarr-cluster", "tokio"][..], ""),
            ("knarr", &["knarr-server", "knarr-runner"], ""),
            ("knarr-store", &["knarr-kinds"], "that arrow is not on the map"),
            ("knarr-node", &["knarr-runner"], "only knarr and testkit may"),
            ("knarr-image", &["wasmtime"], "only runner may"),
            ("knarr-cellar", &[], "is not on the map"),
        ] {
            let found = judged(package, uses);
            assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{package}: {found:?}");
        }
    }

    #[test]
    fn arrows_of_the_map_point_down() {
        for (room, floor, uses) in MAP {
            for used in *uses {
                let below = MAP.iter().find(|(name, _, _)| name == used).map(|(_, floor, _)| floor);
                assert!(below.is_some_and(|below| below < floor), "{room} -> {used}");
            }
        }
    }
}
