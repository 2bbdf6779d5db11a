//! The checks of single fields that every kind's rules are made of. Each adds what is wrong to a list.
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use knarr_machinery::{FieldError, Problem, names};
use serde::Serialize;
use serde_json::Value;

pub(crate) type Wrong = Vec<FieldError>;

pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// Holds a text against one of machinery's naming rules.
pub(crate) fn named(wrong: &mut Wrong, path: &str, value: &str, rule: fn(&str) -> Vec<String>) {
    wrong.extend(rule(value).into_iter().map(|message| FieldError::invalid(path, value, message)));
}

/// The same, for a text that has to be there at all.
pub(crate) fn named_and_there(wrong: &mut Wrong, path: &str, value: &str, rule: fn(&str) -> Vec<String>) {
    if value.is_empty() { required(wrong, path) } else { named(wrong, path, value, rule) }
}

pub(crate) fn required(wrong: &mut Wrong, path: &str) {
    wrong.push(FieldError::required(path, ""));
}

pub(crate) fn one_of(wrong: &mut Wrong, path: &str, value: &str, supported: &[&str]) {
    if !supported.contains(&value) {
        wrong.push(FieldError::not_supported(path, value, supported));
    }
}

pub(crate) fn not_negative(wrong: &mut Wrong, path: &str, value: Option<impl Into<i64>>) {
    if let Some(value) = value.map(Into::into).filter(|value| *value < 0) {
        wrong.push(FieldError::invalid(path, value, NOT_NEGATIVE));
    }
}

pub(crate) fn port_number(wrong: &mut Wrong, path: &str, port: i32) {
    wrong.extend(names::is_port_number(port.into()).into_iter().map(|message| FieldError::invalid(path, port, message)));
}

/// A port by number or by name.
pub(crate) fn port(wrong: &mut Wrong, path: &str, port: &IntOrString) {
    match port {
        IntOrString::Int(number) => port_number(wrong, path, *number),
        IntOrString::String(name) => named(wrong, path, name, names::is_port_name),
    }
}

pub(crate) fn not_found(wrong: &mut Wrong, path: impl Into<String>, value: &str) {
    wrong.push(FieldError { path: path.into(), problem: Problem::NotFound { value: value.into() } });
}

pub(crate) fn too_long(wrong: &mut Wrong, path: &str, max_bytes: usize) {
    wrong.push(FieldError { path: path.into(), problem: Problem::TooLong { max_bytes } });
}

/// A field that may not change any more.
pub(crate) fn immutable<T: Serialize + PartialEq>(wrong: &mut Wrong, path: &str, new: &T, old: &T) {
    if new != old {
        wrong.push(FieldError::invalid(path, json(new), IMMUTABLE));
    }
}

/// Labels, as they stand in a template's metadata or a node selector.
pub(crate) fn labels<'a>(wrong: &mut Wrong, path: &str, labels: impl IntoIterator<Item = (&'a String, &'a String)>) {
    for (key, value) in labels {
        named(wrong, path, key, names::is_qualified_name);
        named(wrong, path, value, names::is_label_value);
    }
}

/// A path that stays below where it starts: relative, without `..`.
pub(crate) fn inner_path(wrong: &mut Wrong, path: &str, value: &str) {
    if value.starts_with('/') {
        wrong.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(wrong, path, value);
}

pub(crate) fn no_backsteps(wrong: &mut Wrong, path: &str, value: &str) {
    if value.split('/').any(|part| part == "..") {
        wrong.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// A value as messages show it.
pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a typed object is JSON")
}

/// A text field that may be left out.
pub(crate) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// Sets a field that the client left out; clients also leave out texts by writing empty ones.
pub(crate) fn fill(field: &mut Option<String>, value: &str) {
    if field.as_ref().is_none_or(String::is_empty) {
        *field = Some(value.into());
    }
}
