//! Event: one store, served as core/v1 and as events.k8s.io/v1. The stored form is core/v1, which all columns and selectors read.
use crate::{
    Kind, Strategy, age,
    column::{count, text, text_or},
    field::{self, Wrong},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use knarr_machinery::{FieldError, names};
use serde_json::{Map, Value};

/// The same field in events.k8s.io/v1 and in core/v1, where the names differ.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// As events.k8s.io/v1 reads into the stored form.
pub(crate) fn to_stored(served: Value) -> Value {
    rename(served, "v1", |(new, core)| (new, core))
}

/// The stored form as events.k8s.io/v1 shows it.
pub(crate) fn to_served(stored: Value) -> Value {
    rename(stored, "events.k8s.io/v1", |(new, core)| (core, new))
}

fn rename(object: Value, api_version: &str, direct: fn((&'static str, &'static str)) -> (&'static str, &'static str)) -> Value {
    let Value::Object(fields) = object else { return object };
    let renamed = |key: String| match RENAMED.map(direct).into_iter().find(|(from, _)| *from == key) {
        Some((_, to)) => to.to_owned(),
        None => key,
    };
    let mut fields: Map<_, _> = fields.into_iter().map(|(key, value)| (renamed(key), value)).collect();
    fields.insert("apiVersion".into(), api_version.into());
    Value::Object(fields)
}

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.column("Last Seen", "string", |o, now| last_seen(o, now).into())
        .text_column("Type", "/type", "")
        .text_column("Reason", "/reason", "")
        .column("Object", "string", |o, _| object(o).into())
        .wide("Subobject", "string", |o, _| text(o, "/involvedObject/fieldPath").into())
        .wide("Source", "string", |o, _| source(o).into())
        .column("Message", "string", |o, _| text(o, "/message").trim().into())
        .wide("First Seen", "string", |o, now| first_seen(o, now).into())
        .wide("Count", "string", |o, _| times(o).into())
        .wide("Name", "string", |o, _| text(o, "/metadata/name").into())
}

fn time<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    Some(text(event, pointer)).filter(|time| !time.is_empty())
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    age::age(time(event, "/firstTimestamp").or_else(|| time(event, "/eventTime")), now)
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    match time(event, "/series/lastObservedTime").or_else(|| time(event, "/lastTimestamp")) {
        Some(last) => age::age(Some(last), now),
        None => first_seen(event, now),
    }
}

fn times(event: &Value) -> i64 {
    match count(event, "/series/count") {
        0 => count(event, "/count").max(1),
        times => times,
    }
}

fn object(event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    match text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let component = text_or(event, "/source/component", text(event, "/reportingComponent"));
    let host = text_or(event, "/source/host", text(event, "/reportingInstance"));
    [component, host].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Events as core/v1 takes them: nearly anything that names what it is about.
#[derive(Clone)]
pub(crate) struct Events;

impl Strategy for Events {
    type Object = Event;

    fn default(&self, new: &mut Event) {
        fill(new);
    }

    fn check(&self, new: &Event, _old: Option<&Event>) -> Vec<FieldError> {
        let mut wrong = vec![];
        check_namespace(new, &mut wrong);
        wrong
    }
}

/// Events as events.k8s.io/v1 takes them: complete.
#[derive(Clone)]
pub(crate) struct NewEvents;

impl Strategy for NewEvents {
    type Object = Event;

    fn default(&self, new: &mut Event) {
        fill(new);
    }

    fn check(&self, new: &Event, old: Option<&Event>) -> Vec<FieldError> {
        let mut wrong = vec![];
        check_namespace(new, &mut wrong);
        if old.is_some_and(|old| old.event_time.is_none()) {
            return wrong;
        }
        if new.event_time.is_none() {
            // The real server stops looking for the reporter when the time is missing; the type it reads all the same.
            field::required(&mut wrong, "eventTime");
            check_type(new, &mut wrong);
            return wrong;
        }
        let [controller, instance, action, reason] =
            [&new.reporting_component, &new.reporting_instance, &new.action, &new.reason].map(|field| field.as_deref().unwrap_or_default());
        field::named_and_there(&mut wrong, "reportingController", controller, names::is_qualified_name);
        for (path, value, max) in [("reportingInstance", instance, 128), ("action", action, 128), ("reason", reason, 128)] {
            if value.is_empty() {
                field::required(&mut wrong, path);
            } else if value.len() > max {
                wrong.push(FieldError::invalid(path, "", format!("can have at most {max} characters")));
            }
        }
        if new.message.as_ref().is_some_and(|note| note.len() > 1024) {
            wrong.push(FieldError::invalid("message", "", "can have at most 1024 characters"));
        }
        check_type(new, &mut wrong);
        wrong
    }
}

/// These are shown even when they say nothing.
fn fill(event: &mut Event) {
    event.source.get_or_insert_default();
    event.reporting_component.get_or_insert_default();
    event.reporting_instance.get_or_insert_default();
}

fn check_type(event: &Event, wrong: &mut Wrong) {
    let kind = event.type_.as_deref().unwrap_or_default();
    if !matches!(kind, "Normal" | "Warning") {
        wrong.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
}

/// An event lives beside its object; those of the cluster live in `default`.
fn check_namespace(event: &Event, wrong: &mut Wrong) {
    let own = event.metadata.namespace.as_deref().unwrap_or_default();
    let object = event.involved_object.namespace.as_deref().unwrap_or_default();
    let fits = if object.is_empty() { matches!(own, "default" | "kube-system") } else { object == own };
    if !fits {
        wrong.push(FieldError::invalid("involvedObject.namespace", object, "does not match event.namespace"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_hold_the_same() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod"}, "message": "m", "reportingComponent": "c", "count": 2, "reason": "r"});
        let new = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"kind": "Pod"}, "note": "m", "reportingController": "c", "deprecatedCount": 2, "reason": "r"});
        assert_eq!(to_served(core.clone()), new);
        assert_eq!(to_stored(new), core);
    }

    #[test]
    fn cells_fall_back_from_newer_to_older_fields() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        for (event, said) in [
            (json!({}), "<unknown> <unknown> 1 "),
            (json!({"eventTime": "2026-01-01T00:09:00.000001Z"}), "59s 59s 1 "),
            (
                json!({"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:00Z", "count": 4, "source": {"component": "kubelet", "host": "n"}}),
                "60s 10m 4 kubelet, n",
            ),
            (
                json!({"eventTime": "2026-01-01T00:00:00Z", "series": {"count": 9, "lastObservedTime": "2026-01-01T00:09:58Z"}, "reportingComponent": "s"}),
                "2s 10m 9 s",
            ),
        ] {
            assert_eq!(format!("{} {} {} {}", last_seen(&event, now), first_seen(&event, now), times(&event), source(&event)), said);
        }
    }
}
