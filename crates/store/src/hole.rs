//! The hole in an object's JSON where the store writes the revision: an empty `metadata.resourceVersion`.
use bytes::Bytes;
use knarr_machinery::Revision;

const METADATA: &[u8] = br#""metadata":{"#;
const HOLE: &[u8] = br#""resourceVersion":"""#;

/// The value with the revision in its hole, in memory of just its size; unchanged where it has no hole.
pub(crate) fn fill(value: &Bytes, revision: Revision) -> Bytes {
    let Some(at) = find(value) else { return value.clone() };
    let digits = revision.to_string();
    let mut filled = Vec::with_capacity(value.len() + digits.len());
    filled.extend_from_slice(&value[..at]);
    filled.extend_from_slice(digits.as_bytes());
    filled.extend_from_slice(&value[at..]);
    filled.into()
}

/// Where the digits go: between the quotes. Follows the nesting, because a custom resource may hold look-alikes before its metadata.
fn find(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth, mut in_metadata) = (0, 0_u32, false);
    while at < json.len() {
        match json[at] {
            b'"' => {
                if depth == 1 && json[at..].starts_with(METADATA) {
                    at += METADATA.len();
                    (depth, in_metadata) = (2, true);
                    continue;
                }
                if depth == 2 && in_metadata && json[at..].starts_with(HOLE) {
                    return Some(at + HOLE.len() - 1);
                }
                at = after_string(json, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if in_metadata && depth == 2 {
                    return None;
                }
                depth = depth.checked_sub(1)?;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place after the string that begins here.
fn after_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_only_the_objects_own_hole() {
        let check = |before: &'static str, after: &str| {
            assert_eq!(fill(&Bytes::from_static(before.as_bytes()), Revision(42)), after.as_bytes(), "{before}");
        };
        check(r#"{"metadata":{"resourceVersion":"","name":"a"}}"#, r#"{"metadata":{"resourceVersion":"42","name":"a"}}"#);
        check(
            r#"{"kind":"K","metadata":{"name":"a","resourceVersion":""}}"#,
            r#"{"kind":"K","metadata":{"name":"a","resourceVersion":"42"}}"#,
        );
        check(
            r#"{"data":{"metadata":{"resourceVersion":""}},"metadata":{"resourceVersion":""}}"#,
            r#"{"data":{"metadata":{"resourceVersion":""}},"metadata":{"resourceVersion":"42"}}"#,
        );
        check(
            r#"{"metadata":{"annotations":{"resourceVersion":""},"resourceVersion":""}}"#,
            r#"{"metadata":{"annotations":{"resourceVersion":""},"resourceVersion":"42"}}"#,
        );
        check(
            r#"{"a":"\"metadata\":{\"resourceVersion\":\"\"","metadata":{"resourceVersion":""}}"#,
            r#"{"a":"\"metadata\":{\"resourceVersion\":\"\"","metadata":{"resourceVersion":"42"}}"#,
        );
        for unchanged in [
            r#"{"metadata":{"resourceVersion":"7"}}"#,
            r#"{"metadata":{},"spec":{"resourceVersion":""}}"#,
            r#"[{"metadata":{"resourceVersion":""}}]"#,
            r#"{"metadata":{"resource"#,
            r#"}"#,
            r#""\"#,
            "",
        ] {
            check(unchanged, unchanged);
        }
    }
}
