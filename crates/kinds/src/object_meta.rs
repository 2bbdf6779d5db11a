//! `metadata`, whose rules are the same for every kind. The server calls these for all of them, custom resources too.
use crate::field::{self, Wrong};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use knarr_machinery::{FieldError, names};
use std::collections::BTreeMap;

/// Keys and values of all annotations together.
pub const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// How a kind's objects may be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Most kinds: parts joined by dots.
    #[default]
    Subdomain,
    /// One part: Namespaces.
    Label,
    /// One part, and the message says "dots" for a dot: Services.
    Service,
    /// Anything that can stand in a path: RBAC.
    PathSegment,
}

impl Naming {
    pub fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::is_dns_subdomain(name),
            Self::Label => names::is_dns_label(name),
            Self::Service if name.contains('.') => vec!["must not contain dots".into()],
            Self::Service => names::is_dns_label(name),
            Self::PathSegment => match name {
                "." | ".." => vec![format!("may not be '{name}'")],
                _ => ['/', '%'].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect(),
            },
        }
    }
}

/// A new object's metadata, once the server has set its namespace and generated its name.
pub fn check_create(metadata: &ObjectMeta, namespaced: Scope, naming: Naming) -> Vec<FieldError> {
    let mut wrong = vec![];
    let name = field::text(&metadata.name);
    if let Some(prefix) = metadata.generate_name.as_deref().filter(|prefix| !prefix.is_empty()) {
        let messages = naming.check(&names::generated_prefix(prefix));
        wrong.extend(messages.into_iter().map(|message| FieldError::invalid("metadata.generateName", prefix, message)));
    }
    if name.is_empty() {
        wrong.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        wrong.extend(naming.check(name).into_iter().map(|message| FieldError::invalid("metadata.name", name, message)));
    }
    check_namespace(field::text(&metadata.namespace), namespaced, &mut wrong);
    check_rest(metadata, &mut wrong);
    wrong
}

/// Metadata on its way to replace `old`. What the server itself keeps (uid, creation, deletion) it has already put back.
pub fn check_update(metadata: &ObjectMeta, old: &ObjectMeta) -> Vec<FieldError> {
    let mut wrong = vec![];
    for (path, new, old) in [
        ("metadata.name", &metadata.name, &old.name),
        ("metadata.namespace", &metadata.namespace, &old.namespace),
        ("metadata.uid", &metadata.uid, &old.uid),
    ] {
        field::immutable(&mut wrong, path, new, old);
    }
    check_added_finalizers(metadata, old, &mut wrong);
    check_rest(metadata, &mut wrong);
    wrong
}

/// Whether a kind's objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
}

fn check_namespace(namespace: &str, scope: Scope, wrong: &mut Wrong) {
    let path = "metadata.namespace";
    match scope {
        Scope::Namespaced => field::named_and_there(wrong, path, namespace, names::is_dns_label),
        Scope::Cluster if !namespace.is_empty() => wrong.push(FieldError::forbidden(path, "not allowed on this type")),
        Scope::Cluster => {}
    }
}

/// What is checked on every write.
fn check_rest(metadata: &ObjectMeta, wrong: &mut Wrong) {
    field::labels(wrong, "metadata.labels", metadata.labels.iter().flatten());
    check_annotations(metadata.annotations.as_ref(), "metadata.annotations", wrong);
    check_owners(metadata.owner_references.as_deref().unwrap_or_default(), wrong);
    check_finalizers(metadata.finalizers.as_deref().unwrap_or_default(), wrong);
}

pub(crate) fn check_annotations(annotations: Option<&BTreeMap<String, String>>, path: &str, wrong: &mut Wrong) {
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        // A prefix may be written in capitals here, for reasons of history.
        wrong.extend(names::is_qualified_name(&key.to_lowercase()).into_iter().map(|message| FieldError::invalid(path, &**key, message)));
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATIONS_MAX_BYTES {
        field::too_long(wrong, path, ANNOTATIONS_MAX_BYTES);
    }
}

fn check_finalizers(finalizers: &[String], wrong: &mut Wrong) {
    for (at, finalizer) in finalizers.iter().enumerate() {
        check_finalizer(finalizer, &format!("metadata.finalizers[{at}]"), wrong);
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        wrong.push(FieldError::invalid("metadata.finalizers", field::json(&finalizers), detail));
    }
}

pub(crate) fn check_finalizer(finalizer: &str, path: &str, wrong: &mut Wrong) {
    let before = wrong.len();
    field::named(wrong, path, finalizer, names::is_qualified_name);
    if wrong.len() == before && !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        wrong.push(FieldError::invalid(path, finalizer, detail));
    }
}

/// Nobody may hold up a deletion that has begun.
fn check_added_finalizers(metadata: &ObjectMeta, old: &ObjectMeta, wrong: &mut Wrong) {
    if old.deletion_timestamp.is_none() {
        return;
    }
    let known = old.finalizers.as_deref().unwrap_or_default();
    let added: Vec<_> = metadata.finalizers.iter().flatten().filter(|finalizer| !known.contains(finalizer)).collect();
    if !added.is_empty() {
        let list: Vec<_> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
        let detail =
            format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}", list.join(", "));
        wrong.push(FieldError::forbidden("metadata.finalizers", detail));
    }
}

fn check_owners(owners: &[OwnerReference], wrong: &mut Wrong) {
    let mut controller: Option<&OwnerReference> = None;
    for (at, owner) in owners.iter().enumerate() {
        check_owner(owner, &format!("metadata.ownerReferences[{at}]"), wrong);
        if owner.controller != Some(true) {
            continue;
        }
        if let Some(first) = controller {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
                first.kind, first.name, owner.kind, owner.name
            );
            wrong.push(FieldError::invalid("metadata.ownerReferences", field::json(&owners), detail));
        }
        controller = Some(owner);
    }
}

fn check_owner(owner: &OwnerReference, path: &str, wrong: &mut Wrong) {
    let version = owner.api_version.rsplit('/').next().unwrap_or_default();
    let group = owner.api_version.strip_suffix(version).unwrap_or_default().trim_end_matches('/');
    for (part, value, detail) in [
        ("apiVersion", version, "version must not be empty"),
        ("kind", &owner.kind, "must not be empty"),
        ("name", &owner.name, "must not be empty"),
        ("uid", &owner.uid, "must not be empty"),
    ] {
        if value.is_empty() {
            wrong.push(FieldError::invalid(format!("{path}.{part}"), value, detail));
        }
    }
    if owner.kind == "Event" && matches!(&*owner.api_version, "v1" | "events.k8s.io/v1") {
        let detail = format!("{group}/{version}, Kind=Event is disallowed from being an owner");
        wrong.push(FieldError::invalid(path, field::json(owner), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(value: Value, naming: Naming, said: &[&str]) {
        let wrong: Vec<_> = check_create(&metadata(value.clone()), Scope::Namespaced, naming).iter().map(ToString::to_string).collect();
        assert_eq!(wrong.len(), said.len(), "{value}: {wrong:?}");
        for (wrong, said) in wrong.iter().zip(said) {
            assert!(wrong.starts_with(said), "{wrong}");
        }
    }

    #[test]
    fn metadata_is_held_against_the_rules_of_all_kinds() {
        use Naming::{Label, PathSegment, Service, Subdomain};
        check(json!({"name": "a.b", "namespace": "n", "labels": {"x.io/y": "z"}, "annotations": {"X.io/y": "any thing"}}), Subdomain, &[]);
        check(json!({"namespace": "n"}), Subdomain, &["metadata.name: Required value: name or generateName is required"]);
        check(json!({"name": "web-x1y2z", "generateName": "web-", "namespace": "n"}), Subdomain, &[]);
        check(json!({"name": "a.b", "namespace": "n"}), Label, &["metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label"]);
        check(json!({"name": "a.b", "namespace": "n"}), Service, &["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
        check(json!({"name": "1a", "namespace": "n"}), Service, &[]);
        check(json!({"name": "a:b", "namespace": "n"}), PathSegment, &[]);
        check(json!({"name": "a%b", "namespace": "n"}), PathSegment, &["metadata.name: Invalid value: \"a%b\": may not contain '%'"]);
        check(
            json!({"name": "a", "namespace": "n", "labels": {"a b": "v"}}),
            Subdomain,
            &["metadata.labels: Invalid value: \"a b\": name part must"],
        );
        check(
            json!({"name": "a", "namespace": "n", "labels": {"k": "-a"}}),
            Subdomain,
            &["metadata.labels: Invalid value: \"-a\": a valid label must"],
        );
        let long = "x".repeat(ANNOTATIONS_MAX_BYTES);
        let words = "metadata.annotations: Too long: may not be more than 262144 bytes";
        check(json!({"name": "a", "namespace": "n", "annotations": {"k": long}}), Subdomain, &[words]);
        let words = "metadata.finalizers[0]: Invalid value: \"nope\": name is neither a standard finalizer name nor is it fully qualified";
        check(json!({"name": "a", "namespace": "n", "finalizers": ["nope"]}), Subdomain, &[words]);
        check(json!({"name": "a", "namespace": "n", "finalizers": ["kubernetes", "x.io/y"]}), Subdomain, &[]);
    }

    #[test]
    fn owners_are_named_in_full() {
        let of = |owners: Value| json!({"name": "a", "namespace": "n", "ownerReferences": owners});
        let event = json!([{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "u1"}]);
        let words = r#"metadata.ownerReferences[0]: Invalid value: {"apiVersion":"v1","kind":"Event","name":"a","uid":"u1"}: /v1, Kind=Event is disallowed from being an owner"#;
        check(of(event), Naming::Subdomain, &[words]);
        let empty = json!([{"apiVersion": "", "kind": "", "name": "", "uid": ""}]);
        let at = "metadata.ownerReferences[0]";
        let words = ["apiVersion", "kind", "name", "uid"].map(|part| format!("{at}.{part}: Invalid value: \"\""));
        check(of(empty), Naming::Subdomain, &words.each_ref().map(String::as_str));
        let two = json!([{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1", "controller": true}, {"apiVersion": "v1", "kind": "B", "name": "b", "uid": "2", "controller": true}]);
        check(of(two), Naming::Subdomain, &["metadata.ownerReferences: Invalid value: "]);
    }

    #[test]
    fn an_update_keeps_names_and_deletions() {
        let old = metadata(
            json!({"name": "a", "namespace": "n", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.io/a"]}),
        );
        for (change, said) in [
            (json!({"name": "a", "namespace": "n", "uid": "1", "finalizers": []}), None),
            (json!({"name": "a", "namespace": "n", "uid": "2"}), Some("metadata.uid: Invalid value: \"2\": field is immutable")),
            (
                json!({"name": "a", "namespace": "n", "uid": "1", "finalizers": ["x.io/b"]}),
                Some(
                    "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.io/b\"}",
                ),
            ),
        ] {
            let wrong: Vec<_> = check_update(&metadata(change), &old).iter().map(ToString::to_string).collect();
            assert_eq!(wrong.first().map(String::as_str), said);
        }
    }
}
