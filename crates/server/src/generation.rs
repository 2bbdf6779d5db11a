//! `metadata.generation` moves when what is asked for changes: everything but metadata and status. Pure, on encoded objects.
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// The new object, its generation one more than the old one's where the two differ in what they ask for. Both are encoded by the same
/// code, so equal text is equal content.
pub fn moved(new: Vec<u8>, old: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let (fields, before) = (read(&new)?, read(old)?);
    let asked = |fields: &BTreeMap<String, &RawValue>| -> Vec<_> {
        let asked = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"));
        asked.map(|(name, value)| (name.clone(), value.get().to_owned())).collect()
    };
    if asked(&fields) == asked(&before) {
        return Ok(new);
    }
    let Some(raw) = fields.get("metadata") else { return Ok(new) };
    let mut metadata: Value = serde_json::from_str(raw.get())?;
    let generation = metadata["generation"].as_i64().unwrap_or(0);
    metadata["generation"] = (generation + 1).into();
    let start = raw.get().as_ptr() as usize - new.as_ptr() as usize;
    let end = start + raw.get().len();
    Ok([&new[..start], &serde_json::to_vec(&metadata)?, &new[end..]].concat())
}

fn read(object: &[u8]) -> Result<BTreeMap<String, &RawValue>, serde_json::Error> {
    serde_json::from_slice(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_with_what_is_asked_for_only() {
        let check = |new: &str, old: &str, expected: i64| {
            let moved: Value = serde_json::from_slice(&moved(new.into(), old.as_bytes()).unwrap()).unwrap();
            assert_eq!(moved["metadata"]["generation"], expected, "{new}");
        };
        let old = r#"{"kind":"D","metadata":{"generation":3},"spec":{"a":1},"status":{"x":1}}"#;
        check(old, old, 3);
        check(r#"{"kind":"D","metadata":{"generation":3},"spec":{"a":2},"status":{"x":1}}"#, old, 4);
        check(r#"{"kind":"D","metadata":{"generation":3,"labels":{"a":"b"}},"spec":{"a":1},"status":{"x":2}}"#, old, 3);
        check(r#"{"kind":"D","metadata":{"generation":3},"status":{"x":1}}"#, old, 4);
    }
}
