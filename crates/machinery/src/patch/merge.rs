//! JSON merge patch (RFC 7386), as the real server reads it.
use crate::Status;
use serde_json::{Map, Value};

/// Merges `patch` into `current`: objects key by key, `null` removes, anything else replaces.
pub fn apply(current: Value, patch: Value) -> Result<Value, Status> {
    match patch {
        Value::Object(patch) => Ok(merge(current, patch)),
        Value::Null => Err(Status::bad_request("Invalid JSON Patch")),
        other => {
            let found = go_type(&other);
            Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )))
        }
    }
}

fn merge(current: Value, patch: Map<String, Value>) -> Value {
    let mut merged = if let Value::Object(map) = current { map } else { Map::new() };
    for (key, change) in patch {
        match change {
            Value::Null => {
                merged.remove(&key);
            }
            Value::Object(change) => {
                let inner = merged.get_mut(&key).map_or(Value::Null, Value::take);
                merged.insert(key, merge(inner, change));
            }
            other => {
                merged.insert(key, other);
            }
        }
    }
    Value::Object(merged)
}

/// What Kubernetes' messages call a JSON value.
pub(super) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_key_by_key() {
        for (current, patch, expected) in [
            (json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"b": {"c": null, "e": 4}}), json!({"a": 1, "b": {"d": 3, "e": 4}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": 1}), json!({"a": null, "b": null}), json!({})),
            (json!({}), json!({"a": {"b": null, "c": 1}}), json!({"a": {"c": 1}})),
            (json!({"a": "text"}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": 7}), json!({"a": 7})),
            (json!({}), json!({"a": [{"b": null}]}), json!({"a": [{"b": null}]})),
            (json!({"n": 9_007_199_254_740_993_u64}), json!({}), json!({"n": 9_007_199_254_740_993_u64})),
        ] {
            assert_eq!(apply(current, patch.clone()).unwrap(), expected, "{patch}");
        }
    }

    #[test]
    fn only_objects_are_merge_patches() {
        for (patch, words) in [
            (json!(null), "Invalid JSON Patch"),
            (json!("text"), "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"),
            (json!([]), "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ] {
            let status = apply(json!({}), patch).unwrap_err();
            assert_eq!((status.code, &*status.message), (400, words));
        }
    }
}
