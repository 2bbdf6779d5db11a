//! `/livez`, `/readyz`, `/healthz`: is it alive, may it be asked, each with its parts by name.
use crate::{query::Query, state::State};
use std::time::Duration;

/// A store that does not answer a read by then is not ready.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// What is looked at, and whether it is well.
pub struct Health {
    path: String,
    checks: Vec<(&'static str, bool)>,
}

impl Health {
    /// None for a path that is no health check: `/livez/nonsense`.
    pub async fn look(state: &State, path: &str) -> Option<Self> {
        let (root, one) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        if !matches!(root, "livez" | "readyz" | "healthz") {
            return None;
        }
        let store = tokio::time::timeout(STORE_PATIENCE, state.store.get("/registry/core/namespaces/default")).await;
        let mut checks = vec![("ping", true), ("log", true), ("store", matches!(store, Ok(Ok(_))))];
        if root == "readyz" {
            checks.push(("informer-sync", state.shelf.revision() > knarr_machinery::Revision(0)));
        }
        if !one.is_empty() {
            checks.retain(|(name, _)| *name == one);
            if checks.is_empty() {
                return None;
            }
        }
        Some(Self { path: root.into(), checks })
    }

    pub fn is_well(&self, query: &Query) -> bool {
        self.looked_at(query).all(|(_, well)| *well)
    }

    fn looked_at(&self, query: &Query) -> impl Iterator<Item = &(&'static str, bool)> {
        let excluded: Vec<String> = query.pairs().filter(|(name, _)| *name == "exclude").map(|(_, value)| value.to_owned()).collect();
        self.checks.iter().filter(move |(name, _)| !excluded.iter().any(|e| e == name))
    }

    /// `ok`, or line by line.
    pub fn text(&self, query: &Query) -> String {
        let well = self.is_well(query);
        if well && !query.has("verbose") {
            return "ok".into();
        }
        let line =
            |(name, well): &(&str, bool)| if *well { format!("[+]{name} ok\n") } else { format!("[-]{name} failed: reason withheld\n") };
        let lines: String = self.looked_at(query).map(line).collect();
        format!("{lines}{} check {}\n", self.path, if well { "passed" } else { "failed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_ok_or_what_is_wrong() {
        let check = |query: &str, store: bool, expected: &str| {
            let health = Health { path: "readyz".into(), checks: vec![("ping", true), ("store", store)] };
            assert_eq!(health.text(&Query::parse(query)), expected);
        };
        check("", true, "ok");
        check("verbose", true, "[+]ping ok\n[+]store ok\nreadyz check passed\n");
        check("", false, "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n");
        check("exclude=store", false, "ok");
    }
}
