//! What a URL of the registry names. Repository names hold slashes, so a path is read from both ends.
use super::Refusal;
use http::StatusCode;

#[derive(Debug, PartialEq)]
pub(super) enum Route {
    Root,
    Catalog,
    Tags(String),
    Blob { name: String, digest: String },
    Uploads(String),
    Upload { name: String, id: String },
    Manifest { name: String, reference: String },
}

/// Makes a route of a repository's name and the path's last word.
type Make = fn(String, String) -> Route;

/// The specification's bound on repository names.
const MAX_NAME_BYTES: usize = 255;
/// The specification's bound on tags.
const MAX_TAG_BYTES: usize = 128;

impl Route {
    pub(super) fn parse(path: &str) -> Result<Self, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("no such path: {path}"));
        let rest = path.strip_prefix("/v2").ok_or_else(unknown)?.trim_start_matches('/');
        let parts: Vec<&str> = rest.split('/').collect();
        let (name, route): (&[&str], Make) = match &parts[..] {
            [""] => return Ok(Self::Root),
            ["_catalog"] => return Ok(Self::Catalog),
            [name @ .., "tags", "list"] => (name, |name, _| Self::Tags(name)),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, |name, _| Self::Uploads(name)),
            [name @ .., "blobs", "uploads", _] => (name, |name, id| Self::Upload { name, id }),
            [name @ .., "blobs", _] => (name, |name, digest| Self::Blob { name, digest }),
            [name @ .., "manifests", _] => (name, |name, reference| Self::Manifest { name, reference }),
            _ => return Err(unknown()),
        };
        let last = parts.last().copied().unwrap_or_default();
        let name = valid_name(name)?;
        let route = route(name, last.to_owned());
        match &route {
            Self::Manifest { reference, .. } if !is_tag(reference) && !reference.starts_with("sha256:") => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("invalid tag: {reference}")))
            }
            Self::Manifest { reference, .. } if reference.contains(['/', '.']) && reference.starts_with("sha256:") => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", format!("invalid digest: {reference}")))
            }
            _ => Ok(route),
        }
    }
}

fn valid_name(parts: &[&str]) -> Result<String, Refusal> {
    let name = parts.join("/");
    let is_part = |part: &&str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        part.bytes().all(inner) && edge(part.bytes().next()) && edge(part.bytes().last())
    };
    let valid = !parts.is_empty() && name.len() <= MAX_NAME_BYTES && parts.iter().all(is_part);
    if valid { Ok(name) } else { Err(Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", format!("invalid repository name: {name}"))) }
}

fn is_tag(tag: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !tag.is_empty() && tag.len() <= MAX_TAG_BYTES && !tag.starts_with(['.', '-']) && tag.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths_from_both_ends() {
        for (path, expected) in [
            ("/v2/", "Ok(Root)"),
            ("/v2/_catalog", "Ok(Catalog)"),
            ("/v2/a/b/tags/list", "Ok(Tags(\"a/b\"))"),
            ("/v2/a/blobs/uploads/", "Ok(Uploads(\"a\"))"),
            ("/v2/a/blobs/uploads/7", "Ok(Upload { name: \"a\", id: \"7\" })"),
            ("/v2/a/blobs/sha256:0", "Ok(Blob { name: \"a\", digest: \"sha256:0\" })"),
            ("/v2/a/b/manifests/v1", "Ok(Manifest { name: \"a/b\", reference: \"v1\" })"),
            ("/v2/../manifests/v1", "NAME_INVALID"),
            ("/v2/A/manifests/v1", "NAME_INVALID"),
            ("/v2/manifests/v1", "NAME_INVALID"),
            ("/v2/a/manifests/..", "TAG_INVALID"),
            ("/v2/a/manifests/sha256:..", "DIGEST_INVALID"),
            ("/elsewhere", "NAME_UNKNOWN"),
        ] {
            let said = match Route::parse(path) {
                Err(refusal) => refusal.code.to_owned(),
                ok => format!("{ok:?}").replace("Refusal", ""),
            };
            assert_eq!(said, expected, "{path}");
        }
    }
}
