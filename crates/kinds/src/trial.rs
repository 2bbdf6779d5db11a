//! What the tests of all kinds share: an object put through its row as the server puts it, and what came of it.
use crate::{Kind, builtin};
use serde_json::{Value, json};

pub(crate) fn row(api_version: &str, kind: &str) -> Kind {
    builtin().into_iter().find(|row| row.kind == kind && row.api_version() == api_version).expect("a built-in kind")
}

fn row_of(object: &Value) -> Kind {
    row(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap())
}

/// The object as it is stored, and what the row says against it.
pub(crate) fn submit(object: &Value, old: Option<&Value>) -> Result<(Value, Vec<String>), String> {
    let row = row_of(object);
    let old = old.map(|old| old.to_string().into_bytes());
    let mut draft = row.rules.draft(row.to_stored(object.clone()), old.as_deref()).map_err(|status| status.message)?;
    draft.default();
    draft.prepare();
    Ok((draft.value(), draft.check().iter().map(ToString::to_string).collect()))
}

/// The object with fields changed: dotted paths, `null` removes.
pub(crate) fn edited(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let mut at = &mut object;
        for part in path.split('.') {
            at = match part.parse::<usize>() {
                Ok(index) => {
                    if at.is_null() {
                        *at = json!([]);
                    }
                    let list = at.as_array_mut().unwrap();
                    if list.len() <= index {
                        list.push(Value::Null);
                    }
                    &mut list[index]
                }
                Err(_) => &mut at[part],
            };
        }
        *at = value.clone();
    }
    object
}

/// What is said against a new object: the beginning of each message, in order.
#[track_caller]
pub(crate) fn refused(object: &Value, said: &[&str]) {
    begins(&submit(object, None).unwrap().1, said, object);
}

/// The same of an update: `old` is stored first, then changed.
#[track_caller]
pub(crate) fn refused_update(old: &Value, changes: &[(&str, Value)], said: &[&str]) {
    let stored = submit(old, None).unwrap().0;
    let new = edited(stored.clone(), changes);
    begins(&submit(&new, Some(&stored)).unwrap().1, said, &new);
}

#[track_caller]
fn begins(wrong: &[String], said: &[&str], object: &Value) {
    let same = wrong.len() == said.len() && wrong.iter().zip(said).all(|(wrong, said)| wrong.starts_with(said));
    assert!(same, "expected {said:#?}, got {wrong:#?} for {object}");
}

/// Fields of the stored object, by JSON pointer.
#[track_caller]
pub(crate) fn becomes(object: &Value, fields: &[(&str, Value)]) {
    let stored = submit(object, None).unwrap().0;
    for (pointer, value) in fields {
        assert_eq!(stored.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer} of {stored}");
    }
}

/// The cells of a row, ages counted to 2026-01-01T01:00:00Z, wide ones after a bar.
pub(crate) fn cells(object: &Value) -> String {
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let row = row_of(object);
    let text = |wide: bool| {
        let cells = row.columns.iter().filter(|column| column.wide == wide).map(|column| match (column.cell)(object, now) {
            Value::String(text) => text,
            other => other.to_string(),
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    if row.columns.iter().any(|column| column.wide) { format!("{} | {}", text(false), text(true)) } else { text(false) }
}
