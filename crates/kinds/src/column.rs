//! What the cells of several kinds' columns have in common: reading fields, ages, selectors, containers, short lists.
use crate::{Kind, age};
use jiff::Timestamp;
use knarr_machinery::LabelSelector;
use serde_json::Value;

/// How many hosts, addresses or ports a cell lists before it says how many are left.
const LISTED: usize = 3;

impl Kind {
    /// The column that every kind begins with.
    pub(crate) fn name_column(self) -> Self {
        self.column("Name", "string", |o, _| text(o, "/metadata/name").into())
    }
    pub(crate) fn age_column(self) -> Self {
        self.column("Age", "string", |o, now| created(o, now).into())
    }
    /// A text that stands in the object; `missing` where it does not.
    pub(crate) fn text_column(self, name: &'static str, pointer: &'static str, missing: &'static str) -> Self {
        self.column(name, "string", move |o, _| text_or(o, pointer, missing).into())
    }
    /// A count that stands in the object; nothing is 0.
    pub(crate) fn count_column(self, name: &'static str, kind: &'static str, pointer: &'static str) -> Self {
        self.column(name, kind, move |o, _| count(o, pointer).into())
    }
    /// `Containers` and `Images` of the pod template, shown by `-o wide`.
    pub(crate) fn container_columns(self, pointer: &'static str) -> Self {
        self.wide("Containers", "string", move |o, _| joined(list(o, pointer), "name").into())
            .wide("Images", "string", move |o, _| joined(list(o, pointer), "image").into())
    }
    pub(crate) fn selector_column(self) -> Self {
        self.wide("Selector", "string", |o, _| selector(o.pointer("/spec/selector")).into())
    }
}

/// The text at a JSON pointer; empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn text_or<'a>(object: &'a Value, pointer: &str, missing: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => missing,
        text => text,
    }
}

pub(crate) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many keys the map at a pointer has.
pub(crate) fn entries(object: &Value, pointer: &str) -> usize {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

pub(crate) fn created(object: &Value, now: Timestamp) -> String {
    age::age(object.pointer("/metadata/creationTimestamp").and_then(Value::as_str), now)
}

pub(crate) fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

pub(crate) fn joined(items: &[Value], field: &str) -> String {
    items.iter().map(|item| item[field].as_str().unwrap_or_default()).collect::<Vec<_>>().join(",")
}

/// `a,b,c + 2 more...`.
pub(crate) fn shortened(items: &[String]) -> String {
    let shown = items[..items.len().min(LISTED)].join(",");
    if items.len() > LISTED { format!("{shown} + {} more...", items.len() - LISTED) } else { shown }
}

/// A label selector as kubectl prints it.
pub(crate) fn selector(selector: Option<&Value>) -> String {
    let Some(Ok(selector)) = selector.map(|value| serde_json::from_value::<LabelSelector>(value.clone())) else { return "<none>".into() };
    selector.to_labels().map_or_else(|| "<error>".into(), |labels| or_none(labels.to_string()))
}

/// A plain map of labels: `a=b,c=d`.
pub(crate) fn labels(object: &Value, pointer: &str) -> String {
    let pairs = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    or_none(pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_are_printed_as_kubectl_prints_them() {
        for (value, said) in [
            (json!(null), "<none>"),
            (json!({}), "<none>"),
            (
                json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]}),
                "a=b,c in (d,e)",
            ),
            (json!({"matchExpressions": [{"key": "c", "operator": "Is"}]}), "<error>"),
        ] {
            assert_eq!(selector(Some(&value)), said);
        }
    }

    #[test]
    fn long_lists_say_what_is_left() {
        for (items, said) in [(vec![], ""), (vec!["a", "b", "c"], "a,b,c"), (vec!["a", "b", "c", "d", "e"], "a,b,c + 2 more...")] {
            assert_eq!(shortened(&items.into_iter().map(String::from).collect::<Vec<_>>()), said);
        }
    }
}
