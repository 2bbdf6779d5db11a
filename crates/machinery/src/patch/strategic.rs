//! Strategic merge patch: a merge patch that knows which lists merge, and by which key, and takes directives.
//!
//! `kubectl apply`, `set image`, `rollout restart`, `label` and `edit` send it for built-in kinds. Its corners follow what kubectl 1.33 answered
//! (`patch --local --type=strategic`) and what a real server did: see the recorded cases beside the tests.
mod list;

use super::merge::go_type;
use crate::{
    Reason, Status,
    schema::{Field, Shape, Type},
};
use serde_json::{Map, Value};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";
/// What a message shows of a value; a client knows what it sent.
const MAX_SHOWN_CHARS: usize = 2_000;

/// Patches an object of a known type.
pub fn apply(current: Value, patch: Value, object: Type) -> Result<Value, Status> {
    let patch = match patch {
        Value::Object(patch) => patch,
        other => {
            let found = go_type(&other);
            return Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    let current = if let Value::Object(map) = current { map } else { Map::new() };
    merge(current, patch, Some(Shape::Object(object))).map(Value::Object)
}

fn merge(mut current: Map<String, Value>, mut patch: Map<String, Value>, shape: Option<Shape>) -> Result<Map<String, Value>, Status> {
    match patch.get(PATCH).map(Value::as_str) {
        None => {}
        Some(Some("replace")) => {
            patch.remove(PATCH);
            return Ok(patch);
        }
        Some(Some("delete")) => return Ok(Map::new()),
        Some(_) => return Err(unknown_directive(&patch)),
    }
    retain_keys(&mut current, &mut patch)?;
    delete_primitives(&mut current, &patch);
    let mut orders = take_orders(&mut patch)?;
    patch.retain(|key, _| !key.starts_with(DELETE_PRIMITIVES));
    for (name, change) in patch {
        let order = orders.remove(&name);
        let field = field_of(shape, &name);
        match (current.remove(&name), change) {
            (_, Value::Null) => {}
            // What is to be replaced or deleted and is not there stays away; the real server does the same.
            (None, Value::Object(change)) if change.contains_key(PATCH) => {}
            (None, change) => {
                current.insert(name, without_nulls(change));
            }
            (Some(Value::Object(old)), Value::Object(change)) => {
                let merged = merge(old, change, inner_shape(shape, field))?;
                current.insert(name, Value::Object(merged));
            }
            (Some(Value::Array(old)), Value::Array(change)) if field.is_some_and(Field::merges) => {
                let merged = list::merge(old, change, order, field)?;
                current.insert(name, Value::Array(merged));
            }
            (Some(_), change) => {
                current.insert(name, change);
            }
        }
    }
    for (name, order) in orders {
        let field = field_of(shape, &name);
        if field.is_none()
            && let Some(Shape::Object(object)) = shape
        {
            let words = format!("unable to find api field in struct {} for the json field {name:?}", object.short_name());
            return Err(broken(words));
        }
        if let (Some(Value::Array(list)), true) = (current.get_mut(&name), field.is_some_and(Field::merges)) {
            *list = list::merge(std::mem::take(list), vec![], Some(order), field)?;
        }
    }
    Ok(current)
}

fn field_of<'s>(shape: Option<Shape<'s>>, name: &str) -> Option<Field<'s>> {
    if let Some(Shape::Object(object) | Shape::SchemaOr(_, object)) = shape { object.field(name) } else { None }
}

/// The shape of what stands in a field, or under any key of a map.
fn inner_shape<'s>(shape: Option<Shape<'s>>, field: Option<Field<'s>>) -> Option<Shape<'s>> {
    match (field, shape) {
        (Some(field), _) => Some(field.shape()),
        (None, Some(Shape::Map(item))) => Some(item.shape()),
        _ => None,
    }
}

/// Keeps of the current object only what the directive lists; all that the patch itself sets has to be listed.
fn retain_keys(current: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Status> {
    let Some(listed) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let wrong = || Status::bad_request("invalid patch format of retainKeys");
    let listed = listed.as_array().ok_or_else(wrong)?;
    let keys = listed.iter().map(|key| key.as_str().ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()?;
    let is_directive = |key: &str| key.starts_with(ELEMENT_ORDER) || key.starts_with(DELETE_PRIMITIVES);
    if patch.keys().any(|key| !is_directive(key) && !keys.contains(&&**key)) {
        return Err(wrong());
    }
    current.retain(|key, _| keys.contains(&&**key));
    Ok(())
}

fn delete_primitives(current: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, gone) in patch {
        let list = key.strip_prefix(DELETE_PRIMITIVES).and_then(|name| current.get_mut(name));
        if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
            list.retain(|value| !gone.contains(value));
        }
    }
}

/// The orders that the patch gives, by the name of the list.
fn take_orders(patch: &mut Map<String, Value>) -> Result<Map<String, Value>, Status> {
    let mut orders = Map::new();
    let keys: Vec<_> = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for key in keys {
        let order = patch.remove(&key).unwrap_or_default();
        if !order.is_array() {
            return Err(broken(format!("expected a []interface {{}}, but received a {}", go_type(&order))));
        }
        orders.insert(key[ELEMENT_ORDER.len()..].to_owned(), order);
    }
    Ok(orders)
}

/// A value for a place that was empty: nulls and directives have nothing to act on. Elements that say how to patch others are left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            map.retain(|key, value| !value.is_null() && !is_directive(key));
            Value::Object(map.into_iter().map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(list) => {
            let is_kept = |value: &Value| value.get(PATCH).is_none();
            Value::Array(list.into_iter().filter(is_kept).map(without_nulls).collect())
        }
        plain => plain,
    }
}

fn is_directive(key: &str) -> bool {
    key == PATCH || key == RETAIN_KEYS || key.starts_with(ELEMENT_ORDER) || key.starts_with(DELETE_PRIMITIVES)
}

/// The real server answers a broken directive with a bare 500.
fn broken(words: String) -> Status {
    Status::new(500, Reason::Unknown, words)
}

fn unknown_directive(patch: &Map<String, Value>) -> Status {
    let directive = patch.get(PATCH).map(shown).unwrap_or_default();
    broken(format!("unknown patch type: {directive} in map: {}", shown_map(patch)))
}

/// A value as Go prints it.
fn shown(value: &Value) -> String {
    let whole = match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => shown_map(map),
        plain => plain.to_string(),
    };
    if whole.len() > MAX_SHOWN_CHARS { whole.chars().take(MAX_SHOWN_CHARS).chain("...".chars()).collect() } else { whole }
}

fn shown_map(map: &Map<String, Value>) -> String {
    let members = map.iter().map(|(key, value)| format!("{key}:{}", shown(value)));
    format!("map[{}]", members.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
