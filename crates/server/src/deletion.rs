//! What a delete does to an object: removes it, or marks it and lets finalizers and the node have their time. Pure.
use jiff::{SignedDuration, Timestamp};
use knarr_cluster::{Options, Propagation};
use knarr_kinds::{Kind, Sub};
use serde_json::{Value, json};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// When the object does not say it itself.
const DEFAULT_GRACE_SECONDS: i64 = 30;

#[derive(Debug, PartialEq)]
pub enum Deletion {
    /// Goes at once. What is left of it is the answer.
    Remove(Value),
    /// Goes later.
    Mark(Value),
    /// Has begun before, and this delete does not hurry it.
    Pending,
}

/// Decides over one delete of one object, whose `metadata.resourceVersion` the caller treats.
pub fn decide(kind: &Kind, mut object: Value, options: &Options, now: Timestamp) -> Deletion {
    let finalizers = finalizers(&object, options.propagation);
    let same_finalizers = finalizers == list(&object["metadata"]["finalizers"]);
    set(&mut object, "finalizers", (!finalizers.is_empty()).then(|| json!(finalizers)));
    let held = !finalizers.is_empty() || is_held_by_spec(kind, &object);
    let grace = grace_seconds(kind, &object, options);
    match (deletion_began(&object), grace) {
        (None, 0) if !held => {
            if is_graceful(kind) {
                mark(&mut object, kind, 0, now);
            }
            Deletion::Remove(object)
        }
        (None, grace) => {
            mark(&mut object, kind, grace, now);
            Deletion::Mark(object)
        }
        (Some(_), 0) if !held => {
            set(&mut object, "deletionGracePeriodSeconds", is_graceful(kind).then(|| json!(0)));
            Deletion::Remove(object)
        }
        (Some((began, before)), grace) if is_graceful(kind) && grace < before => {
            let when = began.checked_sub(SignedDuration::from_secs(before - grace)).unwrap_or(now);
            set(&mut object, "deletionTimestamp", Some(crate::object::time(when)));
            set(&mut object, "deletionGracePeriodSeconds", Some(json!(grace)));
            Deletion::Mark(object)
        }
        _ if same_finalizers => Deletion::Pending,
        _ => Deletion::Mark(object),
    }
}

/// Nothing holds a deleting object any more: the write that took the last finalizer away removes it.
pub fn is_complete(kind: &Kind, object: &Value) -> bool {
    deletion_began(object).is_some_and(|(_, grace)| grace == 0)
        && list(&object["metadata"]["finalizers"]).is_empty()
        && !is_held_by_spec(kind, object)
}

/// A node stops what it runs before the object goes: kinds that are bound to one.
fn is_graceful(kind: &Kind) -> bool {
    kind.has(Sub::Binding)
}

/// A namespace is held by finalizers of its own, which only `finalize` changes.
fn is_held_by_spec(kind: &Kind, object: &Value) -> bool {
    kind.has(Sub::Finalize) && !list(&object["spec"]["finalizers"]).is_empty()
}

/// When, and with how many seconds of grace.
fn deletion_began(object: &Value) -> Option<(Timestamp, i64)> {
    let began = object["metadata"]["deletionTimestamp"].as_str()?.parse().ok()?;
    Some((began, object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0)))
}

/// What nobody has started needs no time to stop.
fn grace_seconds(kind: &Kind, object: &Value, options: &Options) -> i64 {
    let is_bound = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let has_ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !is_graceful(kind) || !is_bound || has_ended {
        return 0;
    }
    let own = || object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE_SECONDS);
    // A negative period means the shortest that is one.
    match options.grace_period_seconds.unwrap_or_else(own) {
        negative if negative < 0 => 1,
        seconds => seconds,
    }
}

fn finalizers(object: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers = list(&object["metadata"]["finalizers"]);
    let Some(propagation) = propagation else { return finalizers };
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    finalizers.retain(|f| !matches!(f.as_str(), ORPHAN | FOREGROUND) || Some(f.as_str()) == wanted);
    if let Some(wanted) = wanted.filter(|wanted| !finalizers.iter().any(|f| f == wanted)) {
        finalizers.push(wanted.into());
    }
    finalizers
}

fn mark(object: &mut Value, kind: &Kind, grace: i64, now: Timestamp) {
    let when = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    set(object, "deletionTimestamp", Some(crate::object::time(when)));
    if kind.has(Sub::Finalize) {
        object["status"]["phase"] = json!("Terminating");
    } else {
        set(object, "deletionGracePeriodSeconds", Some(json!(grace)));
    }
    if kind.has_generation {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        set(object, "generation", Some(json!(generation)));
    }
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    match value {
        Some(value) => drop(metadata.insert(field.into(), value)),
        None => drop(metadata.remove(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn options(text: &str) -> Options {
        let mut options = Options::default();
        for word in text.split_whitespace() {
            match word {
                "Background" => options.propagation = Some(Propagation::Background),
                "Foreground" => options.propagation = Some(Propagation::Foreground),
                "Orphan" => options.propagation = Some(Propagation::Orphan),
                seconds => options.grace_period_seconds = Some(seconds.parse().unwrap()),
            }
        }
        options
    }

    /// The outcome in a line: what happens, the grace period, when, the finalizers, the generation.
    fn decided(kind: &Kind, object: Value, with: &str) -> String {
        let (word, object) = match decide(kind, object, &options(with), NOW.parse().unwrap()) {
            Deletion::Remove(object) => ("remove", object),
            Deletion::Mark(object) => ("mark", object),
            Deletion::Pending => return "pending".into(),
        };
        let metadata = &object["metadata"];
        let parts =
            [&metadata["deletionGracePeriodSeconds"], &metadata["deletionTimestamp"], &metadata["finalizers"], &metadata["generation"]];
        let said: Vec<_> = parts.iter().filter(|part| !part.is_null()).map(|part| part.to_string().replace('"', "")).collect();
        format!("{word} {}", said.join(" ")).trim_end().to_owned()
    }

    #[test]
    fn objects_without_a_node_go_at_once_unless_finalizers_hold_them() {
        let check = |metadata: Value, with: &str, expected: &str| {
            assert_eq!(decided(&Kind::of::<ConfigMap>(), json!({"metadata": metadata}), with), expected, "{metadata} {with}");
        };
        check(json!({}), "", "remove");
        check(json!({}), "60", "remove");
        check(json!({}), "Background", "remove");
        check(json!({"finalizers": ["x/y"]}), "", "mark 0 2026-01-02T03:04:05Z [x/y]");
        check(json!({}), "Foreground", "mark 0 2026-01-02T03:04:05Z [foregroundDeletion]");
        check(json!({}), "Orphan", "mark 0 2026-01-02T03:04:05Z [orphan]");
        check(json!({"finalizers": ["orphan", "x/y"]}), "Background", "mark 0 2026-01-02T03:04:05Z [x/y]");
        check(json!({"finalizers": ["x/y"], "deletionTimestamp": NOW}), "", "pending");
        check(json!({"finalizers": ["x/y"], "deletionTimestamp": NOW}), "Foreground", "mark 2026-01-02T03:04:05Z [x/y,foregroundDeletion]");
        check(json!({"finalizers": ["orphan"], "deletionTimestamp": NOW}), "Background", "remove 2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_pods_grace_is_its_own_or_shorter_and_none_where_nothing_runs() {
        let pods = Kind::of::<Pod>().sub(&[Sub::Binding]).generation();
        let check = |spec: Value, status: Value, metadata: Value, with: &str, expected: &str| {
            let pod = json!({"metadata": metadata, "spec": spec, "status": status});
            assert_eq!(decided(&pods, pod.clone(), with), expected, "{pod} {with}");
        };
        let (bound, new) = (json!({"nodeName": "n", "terminationGracePeriodSeconds": 10}), json!({"generation": 1}));
        let began = json!({"deletionTimestamp": "2026-01-02T03:04:15Z", "deletionGracePeriodSeconds": 10});
        check(json!({}), json!({}), new.clone(), "", "remove 0 2026-01-02T03:04:05Z 2");
        check(bound.clone(), json!({}), new.clone(), "", "mark 10 2026-01-02T03:04:15Z 2");
        check(json!({"nodeName": "n"}), json!({}), new.clone(), "", "mark 30 2026-01-02T03:04:35Z 2");
        check(bound.clone(), json!({}), new.clone(), "-1", "mark 1 2026-01-02T03:04:06Z 2");
        check(bound.clone(), json!({}), new.clone(), "0", "remove 0 2026-01-02T03:04:05Z 2");
        check(bound.clone(), json!({"phase": "Failed"}), new, "", "remove 0 2026-01-02T03:04:05Z 2");
        check(bound.clone(), json!({}), began.clone(), "", "pending");
        check(bound.clone(), json!({}), began.clone(), "60", "pending");
        check(bound.clone(), json!({}), began.clone(), "4", "mark 4 2026-01-02T03:04:09Z");
        check(bound, json!({}), began, "0", "remove 0 2026-01-02T03:04:15Z");
    }

    #[test]
    fn a_namespace_waits_until_it_is_finalized() {
        let namespaces = Kind::of::<Namespace>().sub(&[Sub::Finalize]);
        let full = json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let Deletion::Mark(marked) = decide(&namespaces, full, &Options::default(), NOW.parse().unwrap()) else { panic!("marked") };
        assert_eq!((&marked["status"]["phase"], &marked["metadata"]), (&json!("Terminating"), &json!({"deletionTimestamp": NOW})));
        assert!(!is_complete(&namespaces, &marked));
        let mut empty = marked;
        empty["spec"] = json!({});
        assert!(is_complete(&namespaces, &empty));
    }
}
