//! Which pods answer for which host and path. Pure.
//!
//! Precedence, as the documentation of Ingress says: an exact host before a wildcard before rules for every host; the longest path, and of equals the
//! exact one; what is still equal goes to the oldest Ingress.
use crate::backends::{self, Backends, Endpoint};
use knarr_cluster::views::{Ingress, IngressBackend};
use knarr_machinery::Key;
use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const CLASS: &str = "knarr";
/// How a class was named before there was a field for it; clients still write it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

#[derive(Debug, Default)]
pub struct Table {
    /// By host in lower case; `*.` in front for wildcards; empty for every host.
    hosts: BTreeMap<String, Vec<Rule>>,
    default: Option<Arc<Upstream>>,
}

#[derive(Debug)]
struct Rule {
    path: Box<str>,
    is_exact: bool,
    upstream: Arc<Upstream>,
}

/// The pods behind one backend of an Ingress; none when its Service has none, or is not there.
#[derive(Debug, Default)]
pub struct Upstream {
    pub endpoints: Arc<[Endpoint]>,
    turn: AtomicUsize,
}

impl Upstream {
    /// The endpoints in the order in which the next request tries them.
    pub fn in_turn(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        backends::in_turn(&self.endpoints, self.turn.fetch_add(1, Ordering::Relaxed))
    }
}

pub fn is_ours(ingress: &Ingress) -> bool {
    let annotation = ingress.metadata.annotations.get(CLASS_ANNOTATION).map(|class| &**class);
    let class = ingress.spec.ingress_class_name.as_deref().or(annotation);
    class.is_none_or(|class| class == CLASS) && !ingress.metadata.is_deleting()
}

impl Table {
    pub fn compile(ingresses: &[Arc<Ingress>], backends: &Backends) -> Self {
        let mut by_age: Vec<_> = ingresses.iter().collect();
        by_age.sort_by_key(|ingress| (ingress.metadata.creation_timestamp, ingress.metadata.key()));
        let mut table = Self::default();
        for ingress in by_age {
            let namespace = &ingress.metadata.namespace;
            let default = ingress.spec.default_backend.as_ref().map(|backend| upstream(namespace, backend, backends));
            for rule in &ingress.spec.rules {
                let host = rule.host.as_deref().unwrap_or_default().to_ascii_lowercase();
                let rules = table.hosts.entry(host).or_default();
                match &rule.http {
                    Some(http) => rules.extend(http.paths.iter().map(|path| Rule {
                        path: path.path.clone(),
                        is_exact: &*path.path_type == "Exact",
                        upstream: upstream(namespace, &path.backend, backends),
                    })),
                    // A host alone: everything goes to the default backend.
                    None => {
                        rules.extend(default.iter().map(|upstream| Rule {
                            path: "/".into(),
                            is_exact: false,
                            upstream: Arc::clone(upstream),
                        }));
                    }
                }
            }
            table.default = table.default.or(default);
        }
        for rules in table.hosts.values_mut() {
            // Stable: of equals the oldest stays first.
            rules.sort_by_key(|rule| (std::cmp::Reverse(trimmed(&rule.path).len()), !rule.is_exact));
        }
        table
    }

    /// Who answers; nothing means 404. `host` without a port.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Upstream>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let exact = self.hosts.get(&host).filter(|_| !host.is_empty());
        let wildcard = || host.split_once('.').and_then(|(_, rest)| self.hosts.get(&format!("*.{rest}")));
        let rules = exact.or_else(wildcard).or_else(|| self.hosts.get(""));
        let matching = rules.and_then(|rules| rules.iter().find(|rule| rule.matches(path)));
        matching.map(|rule| &rule.upstream).or(self.default.as_ref())
    }

    /// Everybody that may be called.
    pub fn endpoints(&self) -> HashSet<SocketAddr> {
        let upstreams = self.hosts.values().flatten().map(|rule| &rule.upstream).chain(&self.default);
        upstreams.flat_map(|upstream| upstream.endpoints.iter().map(|endpoint| endpoint.address)).collect()
    }
}

impl Rule {
    /// A prefix goes by whole elements: `/a/b` takes `/a/b/c` and `/a/b/`, not `/a/bc`. `ImplementationSpecific` is a prefix here.
    fn matches(&self, path: &str) -> bool {
        if self.is_exact {
            return *self.path == *path;
        }
        path.strip_prefix(trimmed(&self.path)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn upstream(namespace: &str, backend: &IngressBackend, backends: &Backends) -> Arc<Upstream> {
    let endpoints = backend.service.as_ref().and_then(|service| {
        let found = backends.get(&Key::new(namespace, &service.name))?;
        let is_meant = |port: &&crate::backends::Port| {
            if service.port.name.is_empty() { port.number == service.port.number } else { port.name == service.port.name }
        };
        Some(Arc::clone(&found.ports.iter().find(is_meant)?.endpoints))
    });
    Arc::new(Upstream { endpoints: endpoints.unwrap_or_default(), turn: AtomicUsize::new(0) })
}

#[cfg(test)]
mod tests;
