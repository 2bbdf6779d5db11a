//! JSON patch (RFC 6902), with what the real server does otherwise: `replace` adds what is missing, index -1 counts from the end, a missing
//! value is null. Written here because no crate at hand has these, and because `copy` needs a bound.
use super::merge::go_type;
use crate::{Details, Reason, Status, json};
use serde_json::Value;

/// The real server's limit.
const MAX_OPERATIONS: usize = 10_000;
/// What all `copy` operations of a patch may add, in bytes of JSON: the size of a request, as a few copies double the object each.
const MAX_COPIED_BYTES: usize = 3 << 20;

/// Applies the operations in order; one that fails refuses them all.
pub fn apply(current: Value, patch: Value) -> Result<Value, Status> {
    let operations = match patch {
        Value::Array(operations) => operations,
        Value::Null => vec![],
        other => return Err(undecodable(go_type(&other), "[]handlers.jsonPatchOp")),
    };
    if operations.len() > MAX_OPERATIONS {
        let words = format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}", operations.len());
        return Err(Status::new(413, Reason::RequestEntityTooLarge, words));
    }
    if let Some(odd) = operations.iter().find(|o| !o.is_object() && !o.is_null()) {
        return Err(undecodable(go_type(odd), "handlers.jsonPatchOp"));
    }
    let mut document = Document { deepest: json::depth(&current), root: current, copied_bytes: 0 };
    for mut operation in operations {
        document.operate(&mut operation).ok_or_else(unprocessable)?;
        if document.copied_bytes > MAX_COPIED_BYTES {
            return Err(Status::new(413, Reason::RequestEntityTooLarge, "the copy operations of the JSON patch make the object too large"));
        }
    }
    Ok(document.root)
}

/// Members of operations that the RFC does not know, by path: the server warns of them.
pub fn unknown_members(patch: &Value) -> Vec<String> {
    let operations = patch.as_array().map(Vec::as_slice).unwrap_or_default();
    let members = operations.iter().take(MAX_OPERATIONS).enumerate().filter_map(|(at, o)| Some((at, o.as_object()?)));
    let unknown = members.flat_map(|(at, o)| {
        let odd = o.keys().filter(|k| !matches!(k.as_str(), "op" | "path" | "from" | "value"));
        odd.map(move |k| format!("json patch unknown field \"[{at}].{k}\""))
    });
    unknown.take(json::MAX_ODDITIES).collect()
}

fn undecodable(found: &str, wanted: &str) -> Status {
    Status::bad_request(format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"))
}

/// The one answer to every operation that cannot be done.
fn unprocessable() -> Status {
    let mut status = Status::new(422, Reason::Invalid, "the server rejected our request due to an error in our request");
    status.details = Some(Box::<Details>::default());
    status
}

struct Document {
    root: Value,
    copied_bytes: usize,
    /// No value in `root` nests deeper; counted too high rather than walking all of it for each operation.
    deepest: usize,
}

impl Document {
    fn operate(&mut self, operation: &mut Value) -> Option<()> {
        let value = operation.get_mut("value").map(Value::take).unwrap_or_default();
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let path = Pointer::parse(text("path")?)?;
        match text("op")? {
            "add" => {
                self.deepest = self.deepest.max(path.0.len() + json::depth(&value));
                self.add(&path, value)?;
                self.keep_flat(&path, &path)
            }
            "replace" => {
                self.deepest = self.deepest.max(path.0.len() + json::depth(&value));
                self.replace(&path, value)?;
                self.keep_flat(&path, &path)
            }
            "remove" => self.remove(&path).map(drop),
            "test" => self.test(&path, &value),
            "move" => {
                let from = Pointer::parse(text("from")?)?;
                let moved = self.remove(&from)?;
                self.add(&path, moved)?;
                self.keep_flat(&from, &path)
            }
            "copy" => {
                let from = Pointer::parse(text("from")?)?;
                let copied = self.find(&from.0)?.clone();
                self.copied_bytes = self.copied_bytes.saturating_add(copied.to_string().len());
                self.add(&path, copied)?;
                self.keep_flat(&from, &path)
            }
            _ => None,
        }
    }

    /// Moving what is deep below what is deep could nest without end. Counts, and looks when the count is too high.
    fn keep_flat(&mut self, from: &Pointer, to: &Pointer) -> Option<()> {
        self.deepest = self.deepest.max(self.deepest.saturating_sub(from.0.len()) + to.0.len());
        if self.deepest > json::MAX_DEPTH {
            self.deepest = json::depth(&self.root);
        }
        (self.deepest <= json::MAX_DEPTH).then_some(())
    }

    fn find(&mut self, steps: &[String]) -> Option<&mut Value> {
        steps.iter().try_fold(&mut self.root, |value, step| match value {
            Value::Object(map) => map.get_mut(step),
            Value::Array(list) => {
                let at = index(step, list.len())?;
                list.get_mut(at)
            }
            _ => None,
        })
    }

    fn add(&mut self, path: &Pointer, value: Value) -> Option<()> {
        let Some((last, parents)) = path.0.split_last() else {
            self.root = value;
            return Some(());
        };
        match self.find(parents)? {
            Value::Object(map) => {
                map.insert(last.clone(), value);
            }
            Value::Array(list) => {
                let at = if last == "-" { list.len() } else { index(last, list.len() + 1)? };
                if at > list.len() {
                    return None;
                }
                list.insert(at, value);
            }
            _ => return None,
        }
        Some(())
    }

    fn replace(&mut self, path: &Pointer, value: Value) -> Option<()> {
        let Some((last, parents)) = path.0.split_last() else {
            self.root = value;
            return Some(());
        };
        match self.find(parents)? {
            Value::Object(map) => {
                map.insert(last.clone(), value);
            }
            Value::Array(list) => {
                let at = index(last, list.len())?;
                *list.get_mut(at)? = value;
            }
            _ => return None,
        }
        Some(())
    }

    fn remove(&mut self, path: &Pointer) -> Option<Value> {
        let (last, parents) = path.0.split_last()?;
        match self.find(parents)? {
            Value::Object(map) => map.remove(last),
            Value::Array(list) => {
                let at = index(last, list.len())?;
                (at < list.len()).then(|| list.remove(at))
            }
            _ => None,
        }
    }

    /// What is missing passes as null.
    fn test(&mut self, path: &Pointer, value: &Value) -> Option<()> {
        let (last, parents) = match path.0.split_last() {
            Some(cut) => cut,
            None => return (self.root == *value).then_some(()),
        };
        let found = match self.find(parents)? {
            Value::Object(map) => map.get(last),
            Value::Array(list) => Some(list.get(index(last, list.len())?)?),
            _ => None,
        };
        (found.unwrap_or(&Value::Null) == value).then_some(())
    }
}

/// A JSON pointer (RFC 6901), split and unescaped.
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(vec![]));
        }
        let steps = text.strip_prefix('/')?.split('/');
        Some(Self(steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

/// Where in a list of that length a step points; a negative one counts from the end.
fn index(step: &str, length: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse::<usize>().ok().filter(|back| *back > 0)?),
        None => step.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config_map() -> Value {
        json!({"metadata": {"labels": {"x": "1"}, "finalizers": ["one", "two", "three"]}, "data": {"k": "v", "l": "w"}})
    }

    /// What the real server made of these, or refused with 422.
    #[test]
    fn does_what_the_real_server_does() {
        for (patch, at, expected) in [
            (json!([{"op": "add", "path": "/binaryData/k", "value": "AA=="}]), "", None),
            (
                json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "four"}]),
                "/metadata/finalizers",
                Some(json!(["one", "two", "three", "four"])),
            ),
            (
                json!([{"op": "add", "path": "/metadata/finalizers/0", "value": "zero"}]),
                "/metadata/finalizers",
                Some(json!(["zero", "one", "two", "three"])),
            ),
            (json!([{"op": "add", "path": "/metadata/finalizers/9", "value": "nine"}]), "", None),
            (
                json!([{"op": "add", "path": "/metadata/finalizers/-1", "value": "m"}]),
                "/metadata/finalizers",
                Some(json!(["one", "two", "three", "m"])),
            ),
            (json!([{"op": "remove", "path": "/metadata/finalizers/1"}]), "/metadata/finalizers", Some(json!(["one", "three"]))),
            (json!([{"op": "remove", "path": "/data/none"}]), "", None),
            (json!([{"op": "remove", "path": "/metadata/finalizers/7"}]), "", None),
            (json!([{"op": "remove", "path": ""}]), "", None),
            (json!([{"op": "replace", "path": "/data/none", "value": "x"}]), "/data/none", Some(json!("x"))),
            (json!([{"op": "replace", "path": "/none/none", "value": "x"}]), "", None),
            (json!([{"op": "replace", "path": "", "value": {"a": 1}}]), "", Some(json!({"a": 1}))),
            (json!([{"op": "move", "from": "/data/k", "path": "/data/moved"}]), "/data", Some(json!({"l": "w", "moved": "v"}))),
            (json!([{"op": "move", "from": "/data/none", "path": "/data/moved"}]), "", None),
            (
                json!([{"op": "copy", "from": "/data/k", "path": "/metadata/labels/copied"}]),
                "/metadata/labels",
                Some(json!({"x": "1", "copied": "v"})),
            ),
            (
                json!([{"op": "test", "path": "/data/k", "value": "v"}, {"op": "replace", "path": "/data/k", "value": "t"}]),
                "/data/k",
                Some(json!("t")),
            ),
            (json!([{"op": "test", "path": "/data/k", "value": "other"}]), "", None),
            (json!([{"op": "test", "path": "/data/none", "value": null}]), "/data/k", Some(json!("v"))),
            (json!([{"op": "frob", "path": "/data/k"}]), "", None),
            (json!([{"path": "/data/k", "value": "x"}]), "", None),
            (json!([{"op": "add", "value": "x"}]), "", None),
            (json!([{"op": "add", "path": "data/k", "value": "x"}]), "", None),
            (json!([{"op": "add", "path": "/data/k"}]), "/data/k", Some(json!(null))),
            (json!([{"op": "add", "path": "/data/a~1b~0c", "value": "x"}]), "/data/a~1b~0c", Some(json!("x"))),
            (json!([{"op": "add", "path": "/data/k/deeper", "value": "x"}]), "", None),
        ] {
            let patched = apply(config_map(), patch.clone());
            match expected {
                Some(expected) => assert_eq!(patched.unwrap().pointer(at), Some(&expected), "{patch}"),
                None => assert_eq!(patched.unwrap_err(), unprocessable(), "{patch}"),
            }
        }
    }

    #[test]
    fn refuses_what_is_no_list_of_operations() {
        for (patch, words) in [
            (json!(["text"]), "error decoding patch: json: cannot unmarshal string into Go value of type handlers.jsonPatchOp"),
            (json!({}), "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        ] {
            assert_eq!(apply(json!({}), patch).unwrap_err().message, words);
        }
    }

    #[test]
    fn patches_have_a_size() {
        let many = vec![json!({"op": "test", "path": "/a", "value": null}); MAX_OPERATIONS + 1];
        assert_eq!(apply(json!({}), Value::Array(many)).unwrap_err().code, 413);
        let doubling: Vec<_> = (0..40).map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a/{n}")})).collect();
        assert_eq!(apply(json!({"a": {"text": "x".repeat(1000)}}), Value::Array(doubling)).unwrap_err().code, 413);
    }

    #[test]
    fn cannot_be_made_to_nest_without_end() {
        let mut patch = vec![json!({"op": "add", "path": "/b", "value": {}})];
        for _ in 0..1000 {
            patch.push(json!({"op": "add", "path": "/b", "value": {}}));
            patch.push(json!({"op": "move", "from": "/a", "path": "/b/x"}));
            patch.push(json!({"op": "move", "from": "/b", "path": "/a"}));
        }
        assert_eq!(apply(json!({"a": {}}), Value::Array(patch.clone())).unwrap_err(), unprocessable());
        patch.truncate(3 * 400);
        assert!(apply(json!({"a": {}}), Value::Array(patch)).is_ok());
    }

    #[test]
    fn tells_of_members_it_does_not_know() {
        let patch = json!([{"op": "add", "path": "/a", "value": 1, "comment": "fine"}]);
        assert_eq!(unknown_members(&patch), [r#"json patch unknown field "[0].comment""#]);
    }
}
