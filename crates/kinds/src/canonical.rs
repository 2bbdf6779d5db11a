//! The canonical writing of an object: amounts in their shortest form, and nothing where the writer said nothing.
//!
//! The real server reads every object into Go structs and writes them out again. What that loses (empty texts, lists and maps, `false`, `0`
//! in fields where zero and absence are one) would otherwise show in answers, in patches and as managed fields.
use knarr_machinery::{
    Quantity,
    schema::{Field, Plain, Shape, Type},
};
use serde_json::{Map, Value};

/// The error's text is the end of a "cannot be handled as" answer.
pub(crate) fn canonical(object: &mut Value, kind: Type<'_>) -> Result<(), String> {
    let Value::Object(fields) = object else { return Ok(()) };
    write(fields, kind)
}

fn write(fields: &mut Map<String, Value>, kind: Type<'_>) -> Result<(), String> {
    for (name, value) in fields.iter_mut() {
        if let Some(field) = kind.field(name) {
            write_value(value, field.shape())?;
        }
    }
    fields.retain(|name, value| !is_nothing(value) || kind.field(name).is_none_or(Field::keeps_zero));
    Ok(())
}

fn write_value(value: &mut Value, shape: Shape<'_>) -> Result<(), String> {
    match (shape, value) {
        (Shape::Plain(Plain::Quantity), value) => write_amount(value)?,
        (Shape::Object(kind), Value::Object(fields)) => write(fields, kind)?,
        (Shape::List(item), Value::Array(items)) => {
            for value in items {
                write_value(value, item.shape())?;
            }
        }
        (Shape::Map(item), Value::Object(entries)) => {
            for value in entries.values_mut() {
                write_value(value, item.shape())?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn write_amount(value: &mut Value) -> Result<(), String> {
    let written = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        // Of another type altogether: the typed object says so.
        _ => return Ok(()),
    };
    *value = Value::String(Quantity::parse(&written).map_err(|why| why.to_string())?.to_string());
    Ok(())
}

/// What a Go struct without a pointer cannot tell from absence. Objects are told apart: `{}` may be a choice.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(api_version: &str, kind: &str, spec: Value, written: Value) {
        let mut object = json!({"spec": spec});
        canonical(&mut object, crate::schema().kind(api_version, kind).unwrap()).unwrap();
        assert_eq!(object["spec"], written);
    }

    #[test]
    fn amounts_are_written_in_their_shortest_form() {
        let resources = |cpu: Value, memory: Value| json!({"containers": [{"resources": {"limits": {"cpu": cpu, "memory": memory}}}]});
        for (cpu, memory, short_cpu, short_memory) in [
            (json!("1.5"), json!("1.5Gi"), "1500m", "1536Mi"),
            (json!(0.1), json!("1e3"), "100m", "1e3"),
            (json!(2), json!("2000"), "2", "2k"),
        ] {
            check("v1", "Pod", resources(cpu, memory), resources(json!(short_cpu), json!(short_memory)));
        }
    }

    #[test]
    fn what_says_nothing_is_dropped() {
        check(
            "v1",
            "Pod",
            json!({"schedulingGates": [], "nodeName": "", "hostNetwork": false, "securityContext": {}}),
            json!({"securityContext": {}}),
        );
        check(
            "v1",
            "Pod",
            json!({"imagePullSecrets": [{"name": ""}], "enableServiceLinks": false}),
            json!({"imagePullSecrets": [{}], "enableServiceLinks": false}),
        );
        check("apps/v1", "Deployment", json!({"replicas": 0, "paused": false, "minReadySeconds": 0}), json!({"replicas": 0}));
        check(
            "v1",
            "Pod",
            json!({"containers": [{"ports": [{"containerPort": 0, "hostPort": 0}]}]}),
            json!({"containers": [{"ports": [{"containerPort": 0}]}]}),
        );
    }

    #[test]
    fn a_bad_amount_is_refused() {
        let mut pod = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1 Gi"}}}]}});
        let wrong = canonical(&mut pod, crate::schema().kind("v1", "Pod").unwrap()).unwrap_err();
        assert!(wrong.starts_with("quantities must match the regular expression"), "{wrong}");
    }
}
