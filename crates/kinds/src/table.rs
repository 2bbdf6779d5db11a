//! The rows, found by what requests name.
use crate::Kind;
use knarr_machinery::GroupResource;
use std::sync::Arc;

/// All kinds that the server knows. Cheap to clone; replaced whole when a CRD comes or goes.
#[derive(Clone)]
pub struct Table {
    rows: Arc<[Arc<Kind>]>,
}

impl Table {
    pub fn new(rows: Vec<Kind>) -> Self {
        Self { rows: rows.into_iter().map(Arc::new).collect() }
    }

    pub fn rows(&self) -> &[Arc<Kind>] {
        &self.rows
    }

    /// By URL: `apps`, `v1`, `deployments`.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.rows.iter().find(|k| k.group == group && k.version == version && k.plural == plural)
    }

    /// By collection, in the stored version where there is one.
    pub fn by_resource(&self, resource: &GroupResource) -> Option<&Arc<Kind>> {
        let mut named = self.rows.iter().filter(|k| k.group == *resource.group && k.plural == *resource.resource);
        let first = named.next()?;
        Some(if first.stored.is_none() { first } else { named.find(|k| k.stored.is_none()).unwrap_or(first) })
    }

    /// By `apiVersion` and `kind` of a manifest.
    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.rows.iter().find(|k| k.kind == kind && k.api_version() == api_version)
    }
}
