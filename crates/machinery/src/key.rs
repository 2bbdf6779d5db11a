//! How objects are named: a collection by API group and plural, an object in it by namespace and name.
use std::{fmt, sync::Arc};

/// A collection of objects, whatever version they are read in: `pods` of the core group, `deployments` of `apps`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// Empty for the core group.
    pub group: Arc<str>,
    /// The plural, lower case, as in URLs.
    pub resource: Arc<str>,
}

impl GroupResource {
    pub fn new(group: &str, resource: &str) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }

    /// The prefix under which the store keeps this collection; ends in a slash.
    pub fn prefix(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        format!("/registry/{group}/{}/", self.resource)
    }
}

impl fmt::Display for GroupResource {
    /// `pods`, or `deployments.apps`, as Kubernetes writes it in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// An object within its collection. Cluster-scoped objects have an empty namespace. Sorts as the store's keys do, bytewise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Key {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Self::new("", name)
    }

    /// Where the store keeps the object: the collection's prefix, the namespace if there is one, the name.
    pub fn path(&self, resource: &GroupResource) -> String {
        let mut path = resource.prefix();
        if !self.namespace.is_empty() {
            path.push_str(&self.namespace);
            path.push('/');
        }
        path.push_str(&self.name);
        path
    }
}

impl Ord for Key {
    /// The order of `path`: `a-b/x` stands before `a/x`, because a dash is less than a slash.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        self.path_bytes().cmp(other.path_bytes()).then_with(|| self.namespace.cmp(&other.namespace))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    fn path_bytes(&self) -> impl Iterator<Item = u8> {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        self.namespace.bytes().chain(slash.bytes()).chain(self.name.bytes())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_as_the_paths_do() {
        let pods = GroupResource::new("", "pods");
        let mut keys: Vec<_> = [("a", "x"), ("a-b", "x"), ("a", "b"), ("", "a"), ("ab", "a"), ("a.b", "a"), ("", "z")]
            .map(|(ns, name)| Key::new(ns, name))
            .into();
        keys.sort();
        let paths: Vec<_> = keys.iter().map(|key| key.path(&pods)).collect();
        assert!(paths.is_sorted(), "{paths:?}");
    }
}
