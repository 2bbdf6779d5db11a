//! Small cuts into an object's JSON text: setting its version, leaving out what a list says once for all. Pure; nothing is decoded.
use bytes::Bytes;
use knarr_machinery::Revision;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "resourceVersion", default)]
    version: Option<&'a RawValue>,
}

/// The object with another `metadata.resourceVersion`, in memory of just its size. An object that has none stays as it is: the caller
/// always leaves the field in place.
pub fn with_version(object: &[u8], version: &str) -> Bytes {
    let Some((start, end)) = version_at(object) else { return Bytes::copy_from_slice(object) };
    let mut text = Vec::with_capacity(object.len() + version.len());
    text.extend_from_slice(&object[..start]);
    text.push(b'"');
    text.extend_from_slice(version.as_bytes());
    text.push(b'"');
    text.extend_from_slice(&object[end..]);
    text.into()
}

pub fn with_revision(object: &[u8], revision: Revision) -> Bytes {
    with_version(object, &revision.to_string())
}

/// The object with an empty version, which the store fills. The strategies leave out what is empty, so the hole is made last.
pub fn with_hole(object: Vec<u8>) -> Vec<u8> {
    if version_at(&object).is_some() {
        return with_version(&object, "").into();
    }
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let Ok(head) = serde_json::from_slice::<Head>(&object) else { return object };
    let start = head.metadata.get().as_ptr() as usize - object.as_ptr() as usize + 1;
    let comma: &[u8] = if head.metadata.get() == "{}" { b"" } else { b"," };
    [&object[..start], br#""resourceVersion":"""#, comma, &object[start..]].concat()
}

/// The object without `metadata.resourceVersion`: the answer to a dry run of a create.
pub fn without_version(object: &[u8]) -> Bytes {
    let Some((start, end)) = version_at(object) else { return Bytes::copy_from_slice(object) };
    // The field's name and its comma go too; it is never the only field, for a name stands beside it.
    let name = br#""resourceVersion":"#.len();
    let (from, to) = if object.get(end) == Some(&b',') { (start - name, end + 1) } else { (start - name - 1, end) };
    [&object[..from], &object[to..]].concat().into()
}

/// Where the quoted version stands.
fn version_at(object: &[u8]) -> Option<(usize, usize)> {
    let found: Object = serde_json::from_slice(object).ok()?;
    let text = found.metadata.version?.get();
    let start = (text.as_ptr() as usize).checked_sub(object.as_ptr() as usize)?;
    Some((start, start + text.len()))
}

/// An object as the element of a list: apiVersion and kind stand on the list itself. Objects are stored with both in front.
pub fn as_item<'a>(object: &'a [u8], api_version: &str, kind: &str) -> (&'static [u8], &'a [u8]) {
    let head = format!(r#"{{"apiVersion":"{api_version}","kind":"{kind}","#);
    match object.strip_prefix(head.as_bytes()) {
        Some(rest) => (b"{", rest),
        None => (b"", object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_objects_own_version_is_set() {
        let check = |before: &str, after: &str| assert_eq!(with_revision(before.as_bytes(), Revision(42)), after.as_bytes());
        check(r#"{"metadata":{"resourceVersion":""}}"#, r#"{"metadata":{"resourceVersion":"42"}}"#);
        check(r#"{"metadata":{"resourceVersion":"7","uid":"u"}}"#, r#"{"metadata":{"resourceVersion":"42","uid":"u"}}"#);
        check(
            r#"{"data":{"resourceVersion":"7"},"metadata":{"annotations":{"resourceVersion":"7"},"resourceVersion":"7"}}"#,
            r#"{"data":{"resourceVersion":"7"},"metadata":{"annotations":{"resourceVersion":"7"},"resourceVersion":"42"}}"#,
        );
        check(r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"a"}}"#);
        check("rubbish", "rubbish");
    }

    #[test]
    fn the_version_can_be_left_out() {
        let check = |before: &str, after: &str| assert_eq!(without_version(before.as_bytes()), after.as_bytes());
        check(r#"{"metadata":{"name":"a","resourceVersion":"","uid":"u"}}"#, r#"{"metadata":{"name":"a","uid":"u"}}"#);
        check(r#"{"metadata":{"name":"a","resourceVersion":""}}"#, r#"{"metadata":{"name":"a"}}"#);
    }

    #[test]
    fn a_hole_is_made_where_there_is_none() {
        let check = |before: &str, after: &str| assert_eq!(with_hole(before.into()), after.as_bytes());
        check(
            r#"{"data":{"metadata":{}},"metadata":{"name":"a"}}"#,
            r#"{"data":{"metadata":{}},"metadata":{"resourceVersion":"","name":"a"}}"#,
        );
        check(r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#, r#"{"metadata":{"name":"a","resourceVersion":""}}"#);
        check(r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":""}}"#);
    }

    #[test]
    fn a_list_says_the_kind_once() {
        let check = |object: &str, item: &str| {
            let (head, rest) = as_item(object.as_bytes(), "v1", "Pod");
            assert_eq!([head, rest].concat(), item.as_bytes());
        };
        check(r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#, r#"{"metadata":{}}"#);
        check(r#"{"apiVersion":"v2","kind":"Pod","metadata":{}}"#, r#"{"apiVersion":"v2","kind":"Pod","metadata":{}}"#);
    }
}
