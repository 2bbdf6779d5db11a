//! `namespace-controller`: empties a namespace that is on its way out, says what is left in it, and lets it go.
use crate::conditions;
use jiff::Timestamp;
use knarr_cluster::{
    Entry, Shelf, View,
    views::{Namespace, Pod},
};
use knarr_kinds::Table;
use knarr_machinery::{GroupResource, Key};
use knarr_reconcile::{Action, Change, Controller, Object, Pace, Plan, Source};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The finalizer in a namespace's spec that this loop takes away last.
const KUBERNETES: &str = "kubernetes";
/// Objects deleted in one pass: the rest follows when these are gone.
const BURST: usize = 500;

pub struct Namespaces {
    pub kinds: Table,
}

pub struct Look {
    namespace: Arc<Namespace>,
    entry: Arc<Entry>,
    /// What is left in it, by collection; collections without anything are left out.
    content: Vec<(GroupResource, Vec<Arc<Entry>>)>,
}

impl Controller for Namespaces {
    const NAME: &'static str = "namespace-controller";
    type Key = Key;
    type Look = Look;

    /// Every kind in namespaces: whatever goes may have been the last.
    fn sources(&self) -> Vec<Source<Key>> {
        let content = namespaced(&self.kinds).map(|resource| Source::by(resource, leaving_namespace));
        [Source::itself::<Namespace>()].into_iter().chain(content).collect()
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { first: Duration::from_millis(5), most: Duration::from_millis(500) })
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Look> {
        let entry = shelf.get(&Namespace::resource(), key).filter(|entry| entry.meta.is_deleting())?;
        let list = |resource: GroupResource| (shelf.list(&resource, Some(&key.name)).0, resource);
        let content =
            namespaced(&self.kinds).map(list).filter(|(entries, _)| !entries.is_empty()).map(|(entries, resource)| (resource, entries));
        Some(Look { namespace: entry.view(), content: content.collect(), entry })
    }

    fn reconcile(&self, look: &Look, now: Timestamp) -> Plan {
        let is_held = look.namespace.spec.finalizers.iter().any(|finalizer| &**finalizer == KUBERNETES);
        if !is_held {
            return Plan::nothing();
        }
        // Pods go first: what they use stays until they have stopped.
        let pods = Pod::resource();
        let has_pods = look.content.iter().any(|(resource, _)| *resource == pods);
        let of_now = look.content.iter().filter(|(resource, _)| !has_pods || *resource == pods);
        let staying = of_now
            .flat_map(|(resource, entries)| entries.iter().filter(|entry| !entry.meta.is_deleting()).map(move |entry| (resource, entry)));
        let deletions: Vec<_> = staying.take(BURST).map(|(resource, entry)| Action::delete(Object::entry(resource, entry))).collect();
        if !deletions.is_empty() {
            return Plan::nothing().extend(deletions);
        }
        let left: &[_] = if has_pods { &[] } else { &look.content };
        let plan = Plan::nothing().extend(write_status(&look.namespace, left, now));
        if look.content.is_empty() { plan.then(finalize(look)) } else { plan }
    }
}

fn namespaced(kinds: &Table) -> impl Iterator<Item = GroupResource> {
    kinds.rows().iter().filter(|kind| kind.namespaced && !kind.ephemeral).map(|kind| kind.resource())
}

/// The namespace of a changed object, if it is on its way out.
fn leaving_namespace(shelf: &Shelf, change: Change<'_>) -> Vec<Key> {
    let key = Key::cluster(&change.object().key.namespace);
    let is_leaving = shelf.get(&Namespace::resource(), &key).is_some_and(|namespace| namespace.meta.is_deleting());
    if is_leaving { vec![key] } else { vec![] }
}

/// Says what is left, in the words that `kubectl describe namespace` is known for.
fn write_status(namespace: &Namespace, left: &[(GroupResource, Vec<Arc<Entry>>)], now: Timestamp) -> Option<Action> {
    let resources: Vec<_> =
        left.iter().map(|(resource, entries)| format!("{} has {} resource instances", dotted(resource), entries.len())).collect();
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for finalizer in left.iter().flat_map(|(_, entries)| entries).flat_map(|entry| &entry.meta.finalizers) {
        *finalizers.entry(finalizer).or_default() += 1;
    }
    let finalizers: Vec<_> =
        finalizers.into_iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let remaining = format!("Some resources are remaining: {}", resources.join(", "));
    let held = format!("Some content in the namespace has finalizers remaining: {}", finalizers.join(", "));
    let mut list = namespace.status.conditions.clone();
    for (kind, is_true, reason, message) in [
        ("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        match resources.is_empty() {
            true => ("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed"),
            false => ("NamespaceContentRemaining", true, "SomeResourcesRemain", &remaining),
        },
        match finalizers.is_empty() {
            true => ("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            false => ("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", &held),
        },
    ] {
        list = conditions::set(&list, kind, if is_true { "True" } else { "False" }, reason, message, now);
    }
    if list == namespace.status.conditions && &*namespace.status.phase == "Terminating" {
        return None;
    }
    let patch = json!({"status": {"phase": "Terminating", "conditions": conditions::to_json(&list, false)}});
    Some(Action::Status { of: Object::of(namespace), patch })
}

/// `deployments.apps`, and `configmaps.` for the core group, as upstream prints them here.
fn dotted(resource: &GroupResource) -> String {
    format!("{}.{}", resource.resource, resource.group)
}

/// The whole namespace as it was seen, without our finalizer. No revision: the conditions were written a moment ago.
fn finalize(look: &Look) -> Action {
    let mut object: Value = serde_json::from_slice(&look.entry.bytes).unwrap_or_default();
    let others = look.namespace.spec.finalizers.iter().filter(|finalizer| &***finalizer != KUBERNETES);
    object["spec"]["finalizers"] = others.map(|finalizer| json!(finalizer)).collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    Action::Finalize { of: Object::of(&*look.namespace), object }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::said;
    use knarr_machinery::Revision;

    fn entry(object: &Value) -> Arc<Entry> {
        Arc::new(Entry::read(Revision(1), serde_json::to_vec(object).unwrap().into()).unwrap())
    }

    /// What is done about a leaving namespace with this in it: `pods:a`, `configmaps:b!` for one that is leaving, `configmaps:c!f` held by `f`.
    fn plan(content: &[&str]) -> Plan {
        let namespace = json!({"metadata": {"name": "one", "uid": "u", "deletionTimestamp": "2024-01-01T00:00:00Z", "resourceVersion": "5"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
        let mut by_resource: Vec<(GroupResource, Vec<Arc<Entry>>)> = vec![];
        for word in content {
            let (resource, name) = word.split_once(':').unwrap();
            let (name, held) = name.split_once('!').map_or((name, None), |(name, finalizer)| (name, Some(finalizer)));
            let mut object = json!({"metadata": {"name": name, "namespace": "one", "uid": name}});
            if let Some(finalizer) = held {
                object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
                object["metadata"]["finalizers"] = if finalizer.is_empty() { json!([]) } else { json!([finalizer]) };
            }
            by_resource.push((GroupResource::new("", resource), vec![entry(&object)]));
        }
        let look = Look { namespace: entry(&namespace).view(), entry: entry(&namespace), content: by_resource };
        Namespaces { kinds: Table::new(vec![]) }.reconcile(&look, Timestamp::UNIX_EPOCH)
    }

    fn conditions(content: &[&str]) -> Vec<String> {
        let plan = plan(content);
        let Action::Status { patch, .. } = &plan.actions[0] else { panic!("no status") };
        let one =
            |c: &Value| format!("{} {}: {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap(), c["message"].as_str().unwrap());
        patch["status"]["conditions"].as_array().unwrap().iter().skip(3).map(one).collect()
    }

    #[test]
    fn empties_it_pods_first_and_then_lets_it_go() {
        for (content, expected) in [
            (&["configmaps:a", "pods:p"][..], "delete pods p"),
            (&["configmaps:a", "pods:p!"][..], "status namespaces one"),
            (&["configmaps:a", "secrets:s"][..], "delete configmaps a, delete secrets s"),
            (&["configmaps:a!example.com/keep"][..], "status namespaces one"),
            (&[][..], "status namespaces one, finalize namespaces one"),
        ] {
            assert_eq!(said(&plan(content)), expected, "{content:?}");
        }
    }

    #[test]
    fn says_what_is_left() {
        let held = [
            "True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances",
            "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances",
        ];
        let empty = [
            "False ContentRemoved: All content successfully removed",
            "False ContentHasNoFinalizers: All content-preserving finalizers finished",
        ];
        assert_eq!(conditions(&["configmaps:keep!example.com/keep"]), held);
        assert_eq!(conditions(&[]), empty);
        assert_eq!(conditions(&["pods:p!"]), empty, "as upstream, while pods take their time");
    }
}
