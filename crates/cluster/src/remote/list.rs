//! What an API server answers to a list. Pure.
use super::stream::revision_of;
use bytes::Bytes;
use knarr_machinery::Revision;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of a list.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) revision: Revision,
    /// Asks for the next page; empty after the last.
    pub(super) token: String,
    pub(super) objects: Vec<(Revision, Bytes)>,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Meta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    token: Option<String>,
}

impl Page {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let Wire { metadata, items } = serde_json::from_slice(body).map_err(|error| format!("not a list: {error}"))?;
        let revision = metadata.resource_version.parse().map(Revision).map_err(|_| "a list without a resourceVersion".to_owned())?;
        let read = |item: Box<RawValue>| {
            let bytes = bytes(item);
            Ok((revision_of(&bytes)?, bytes))
        };
        let objects = items.unwrap_or_default().into_iter().map(read).collect::<Result<_, String>>()?;
        Ok(Self { revision, token: metadata.token.unwrap_or_default(), objects })
    }
}

/// The text of an object, in memory of just its size.
pub(super) fn bytes(object: Box<RawValue>) -> Bytes {
    String::from(Box::<str>::from(object)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pages_and_refuses_what_is_none() {
        let check = |body: &str, want: Result<(u64, &str, &[u64]), ()>| {
            let page = Page::read(body.as_bytes());
            let got = page
                .as_ref()
                .map(|page| (page.revision.0, page.token.as_str(), page.objects.iter().map(|(revision, _)| revision.0).collect()));
            assert_eq!(got.map_err(|_| ()), want.map(|(revision, token, objects)| (revision, token, objects.to_vec())), "{body}");
        };
        check(r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#, Ok((7, "", &[])));
        check(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#, Ok((7, "", &[])));
        check(
            r#"{"metadata":{"resourceVersion":"7","continue":"t"},"items":[{"metadata":{"resourceVersion":"3"}},{"metadata":{"resourceVersion":"5"}}]}"#,
            Ok((7, "t", &[3, 5])),
        );
        check(r#"{"metadata":{"resourceVersion":""},"items":[]}"#, Err(()));
        check(r#"{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{}}]}"#, Err(()));
        check(r#"{"kind":"Status"}"#, Err(()));
        check("<html>", Err(()));
    }
}
