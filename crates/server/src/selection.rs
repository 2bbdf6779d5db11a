//! Which objects of a collection somebody asks for: a namespace, labels, fields. Pure.
use crate::{query::Query, request::Named};
use knarr_cluster::Entry;
use knarr_kinds::Kind;
use knarr_machinery::{
    Status,
    selector::{Fields, Labels},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashMap};

/// A field that a kind can be selected by, beside its name and namespace: as selectors say it, where it stands, what counts where it does not.
struct Selectable {
    label: &'static str,
    path: &'static str,
    absent: &'static str,
}

const fn field(label: &'static str) -> Selectable {
    Selectable { label, path: label, absent: "" }
}
const fn field_or(label: &'static str, absent: &'static str) -> Selectable {
    Selectable { label, path: label, absent }
}
const fn field_at(label: &'static str, path: &'static str) -> Selectable {
    Selectable { label, path, absent: "" }
}

/// Kinds with fields of their own, by group and plural, as a real server knows them.
const SELECTABLE: &[(&str, &str, &[Selectable])] = &[
    (
        "",
        "pods",
        &[
            field("spec.nodeName"),
            field("spec.restartPolicy"),
            field("spec.schedulerName"),
            field("spec.serviceAccountName"),
            field_or("spec.hostNetwork", "false"),
            field("status.phase"),
            field("status.podIP"),
            field("status.nominatedNodeName"),
        ],
    ),
    (
        "",
        "events",
        &[
            field("involvedObject.kind"),
            field("involvedObject.namespace"),
            field("involvedObject.name"),
            field("involvedObject.uid"),
            field("involvedObject.apiVersion"),
            field("involvedObject.resourceVersion"),
            field("involvedObject.fieldPath"),
            field("reason"),
            field("reportingComponent"),
            field_at("source", "source.component"),
            field("type"),
        ],
    ),
    (
        "events.k8s.io",
        "events",
        &[
            field_at("regarding.kind", "involvedObject.kind"),
            field_at("regarding.namespace", "involvedObject.namespace"),
            field_at("regarding.name", "involvedObject.name"),
            field_at("regarding.uid", "involvedObject.uid"),
            field_at("regarding.apiVersion", "involvedObject.apiVersion"),
            field_at("regarding.resourceVersion", "involvedObject.resourceVersion"),
            field_at("regarding.fieldPath", "involvedObject.fieldPath"),
            field("reason"),
            field_at("reportingController", "reportingComponent"),
            field("type"),
        ],
    ),
    ("", "nodes", &[field_or("spec.unschedulable", "false")]),
    ("", "namespaces", &[field("status.phase")]),
    ("", "secrets", &[field("type")]),
    ("", "services", &[field("spec.clusterIP"), field("spec.type")]),
    ("apps", "replicasets", &[field_or("status.replicas", "0")]),
];

fn selectable(kind: &Kind) -> Option<&'static [Selectable]> {
    SELECTABLE.iter().find(|(group, plural, _)| *group == kind.group && *plural == kind.plural).map(|(.., fields)| *fields)
}

/// What must be true of an object to be in a list, a watch or a deletion of many.
#[derive(Clone)]
pub struct Selection {
    pub namespace: Option<String>,
    labels: Labels,
    fields: Fields,
    selectable: &'static [Selectable],
}

impl Selection {
    pub fn parse(kind: &Kind, named: &Named, query: &Query) -> Result<Self, Status> {
        let labels = Labels::parse(query.get("labelSelector"))?;
        let fields = Fields::parse(query.get("fieldSelector"))?;
        let known = selectable(kind);
        for term in fields.terms() {
            let path = &*term.path;
            let own = known.is_some_and(|fields| fields.iter().any(|field| field.label == path));
            if !own && path != "metadata.name" && path != "metadata.namespace" {
                return Err(Status::bad_request(match known {
                    Some(_) => format!("field label not supported: {path}"),
                    None => format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
                }));
            }
        }
        let namespace = Some(&named.namespace).filter(|namespace| kind.namespaced && !namespace.is_empty()).cloned();
        Ok(Self { namespace, labels, fields, selectable: known.unwrap_or_default() })
    }

    /// Every object of the place counts.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| *namespace == *entry.key.namespace)
            && self.labels.matches(&entry.meta.labels)
            && self.fields.matches(|label| self.value(entry, label))
    }

    fn value<'e>(&self, entry: &'e Entry, label: &str) -> Option<Cow<'e, str>> {
        match label {
            "metadata.name" => return Some(Cow::Borrowed(&*entry.key.name)),
            "metadata.namespace" => return Some(Cow::Borrowed(&*entry.key.namespace)),
            _ => {}
        }
        let field = self.selectable.iter().find(|field| field.label == label)?;
        Some(read(&entry.bytes, field.path).unwrap_or(Cow::Borrowed(field.absent)))
    }
}

/// A plain value by its path, without decoding what stands beside it.
fn read<'a>(object: &'a [u8], path: &str) -> Option<Cow<'a, str>> {
    let mut raw: &RawValue = serde_json::from_slice(object).ok()?;
    for part in path.split('.') {
        raw = serde_json::from_str::<HashMap<Cow<'a, str>, &RawValue>>(raw.get()).ok()?.remove(part)?;
    }
    match raw.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok().map(Cow::Owned),
        plain => Some(Cow::Borrowed(plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_machinery::Revision;
    use serde_json::json;

    fn pod() -> Entry {
        let object = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"app": "web"}}, "spec": {"nodeName": "node-1", "hostNetwork": true}, "status": {"phase": "Running"}});
        Entry::read(Revision(1), object.to_string().into()).unwrap()
    }

    fn parse(query: &str, namespace: &str) -> Result<Selection, Status> {
        let named = Named { namespace: namespace.into(), ..Named::default() };
        Selection::parse(&Kind::of::<k8s_openapi::api::core::v1::Pod>(), &named, &Query::parse(query))
    }

    #[test]
    fn everything_that_is_asked_for_must_be_true() {
        let check = |query: &str, namespace: &str, expected: bool| {
            assert_eq!(parse(query, namespace).unwrap().matches(&pod()), expected, "{query} {namespace}")
        };
        check("", "", true);
        check("", "n", true);
        check("", "m", false);
        check("labelSelector=app%3Dweb", "", true);
        check("labelSelector=app!%3Dweb", "", false);
        check("fieldSelector=metadata.name%3Da,metadata.namespace%3Dn", "", true);
        check("fieldSelector=spec.nodeName%3Dnode-1", "", true);
        check("fieldSelector=spec.nodeName%3D", "", false);
        check("fieldSelector=spec.hostNetwork%3Dtrue", "", true);
        check("fieldSelector=status.podIP%3D,status.phase!%3DPending", "", true);
    }

    #[test]
    fn absent_switches_are_off() {
        let entry = Entry::read(Revision(1), json!({"metadata": {"name": "a"}, "spec": {}}).to_string().into()).unwrap();
        assert!(parse("fieldSelector=spec.hostNetwork%3Dfalse", "").unwrap().matches(&entry));
    }

    #[test]
    fn unknown_fields_are_refused_in_the_kinds_own_words() {
        assert_eq!(parse("fieldSelector=spec.color%3Dred", "").err().unwrap().message, "field label not supported: spec.color");
        let config_maps = Kind::of::<k8s_openapi::api::core::v1::ConfigMap>();
        let refused = Selection::parse(&config_maps, &Named::default(), &Query::parse("fieldSelector=data.k%3Dv")).err().unwrap();
        assert_eq!(refused.message, r#""data.k" is not a known field selector: only "metadata.name", "metadata.namespace""#);
    }
}
