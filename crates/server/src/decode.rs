//! From a request's body to the object it means: YAML and protobuf become JSON, JSON is read by the kind's schema, strictly or with warnings.
use knarr_cluster::FieldValidation;
use knarr_kinds::Kind;
use knarr_machinery::{Reason, Status, json, protobuf, schema::Schema};
use serde_json::Value;

/// As upstream's: larger than etcd takes, smaller than what hurts.
pub const MAX_BODY_BYTES: usize = 3 << 20;
/// How much of a body that cannot be read is shown back.
const SHOWN_BYTES: usize = 30;
/// Nesting of YAML: its reader recurses where ours for JSON does not.
const YAML_MAX_DEPTH: usize = 500;
/// Events of the YAML parser: more than 3 MiB of sensible text has, and the bound of what aliases may unfold to.
const YAML_MAX_NODES: usize = 500_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

impl Media {
    /// By a Content-Type. None given is JSON.
    pub fn of(content_type: &str) -> Result<Self, Status> {
        let mut parts = content_type.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let sound = parts.all(|part| part.contains('='));
        match name.to_ascii_lowercase().as_str() {
            _ if !sound => Err(unsupported()),
            "" | "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            _ => Err(unsupported()),
        }
    }
}

fn unsupported() -> Status {
    let accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::new(415, Reason::UnsupportedMediaType, message)
}

/// The body as JSON text. `kind` and `api_version` are what the URL expects.
pub fn to_json(schema: &Schema, media: Media, body: &[u8], api_version: &str, kind: &str) -> Result<Vec<u8>, Status> {
    match media {
        Media::Json => Ok(body.to_vec()),
        Media::Yaml => {
            let value = yaml(body).map_err(|error| unrecognized(kind, &format!("yaml: {error}"), body))?;
            serde_json::to_vec(&value).map_err(Status::internal)
        }
        Media::Protobuf => {
            let value = protobuf::decode_or(schema, body, api_version, kind).map_err(|error| match error {
                protobuf::ProtobufError::Unrecognized(why) => unrecognized(kind, why, body),
                other => cannot_be_handled(api_version, kind, &other.to_string()),
            })?;
            serde_json::to_vec(&value).map_err(Status::internal)
        }
    }
}

/// The first document of a YAML text; nothing at all is an empty object.
pub fn yaml(body: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(body);
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = YAML_MAX_DEPTH;
        budget.flow_nesting_limit = YAML_MAX_DEPTH;
        budget.max_nodes = YAML_MAX_NODES;
        budget.max_events = YAML_MAX_NODES;
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, options).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().next().filter(|first| !first.is_null()).unwrap_or_else(|| serde_json::json!({})))
}

/// Reads an object of a kind. Returns what there is to warn of.
pub fn object(schema: &Schema, kind: &Kind, body: &[u8], validation: FieldValidation) -> Result<(Value, Vec<String>), Status> {
    let api_version = kind.api_version();
    let read = match schema.kind(&api_version, &kind.kind) {
        Some(object) => json::read_as(body, object),
        None => json::read_noting(body),
    };
    let (value, oddities) = read.map_err(|error| match error {
        json::JsonError::Syntax(why) => unrecognized(&kind.kind, &format!("couldn't get version/kind; json parse error: {why}"), body),
        json::JsonError::Mismatch(why) => cannot_be_handled(&api_version, &kind.kind, &why),
    })?;
    let odd: Vec<String> = oddities.iter().map(ToString::to_string).collect();
    match validation {
        FieldValidation::Ignore => Ok((value, vec![])),
        FieldValidation::Warn => Ok((value, odd)),
        FieldValidation::Strict if odd.is_empty() => Ok((value, odd)),
        FieldValidation::Strict => Err(cannot_be_handled(&api_version, &kind.kind, &format!("strict decoding error: {}", odd.join(", ")))),
    }
}

/// `DeleteOptions`, or nothing where the body is empty.
pub fn delete_options(schema: &Schema, media: Media, body: &[u8]) -> Result<Option<Value>, Status> {
    if body.is_empty() {
        return Ok(None);
    }
    let text = to_json(schema, media, body, "v1", "DeleteOptions")?;
    let value = json::read(&text).map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}")))?;
    match (value["kind"].as_str(), value["apiVersion"].as_str()) {
        (None | Some("" | "DeleteOptions"), _) => Ok(Some(value)),
        (Some(kind), version) => Err(Status::bad_request(format!(
            "no kind {kind:?} is registered for version {:?} of delete options",
            version.unwrap_or_default()
        ))),
    }
}

/// The body of a subresource's own kind, whose few fields are read where they are used.
pub fn free(body: &[u8], wanted: &str) -> Result<Value, Status> {
    json::read(body).map_err(|error| Status::bad_request(format!("error decoding {wanted}: {error}")))
}

fn cannot_be_handled(api_version: &str, kind: &str, why: &str) -> Status {
    let version = api_version.rsplit('/').next().unwrap_or_default();
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({})", shown(body)))
}

/// The beginning of a body: as text where it looks like JSON, else in hexadecimal digits.
fn shown(body: &[u8]) -> String {
    let head = &body[..body.len().min(SHOWN_BYTES)];
    let more = if body.len() > SHOWN_BYTES { " ..." } else { "" };
    match head.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => head.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_content_type_says_how_to_read() {
        for (text, expected) in [
            ("", Some(Media::Json)),
            ("application/json; charset=utf-8", Some(Media::Json)),
            ("application/yaml", Some(Media::Yaml)),
            ("application/vnd.kubernetes.protobuf", Some(Media::Protobuf)),
            ("application/json;;", None),
            ("text/plain", None),
            ("nonsense", None),
        ] {
            assert_eq!(Media::of(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn yaml_is_bounded_and_only_its_first_document_counts() {
        assert_eq!(yaml(b"a: {b: [1, two]}\n---\nc: d\n").unwrap(), json!({"a": {"b": [1, "two"]}}));
        assert_eq!(yaml(b"").unwrap(), json!({}));
        assert_eq!(yaml(b"a: 1\na: 2\n").unwrap(), json!({"a": 2}));
        assert!(yaml("[".repeat(2000).as_bytes()).is_err());
        let bomb = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
            let many = vec![format!("*a{}", at - 1); 10].join(", ");
            format!("{text}a{at}: &a{at} [{many}]\n")
        });
        assert!(yaml(bomb.as_bytes()).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_shown_back() {
        for (body, expected) in [
            ("", "<empty>"),
            ("a: b", "613a2062"),
            (r#"{"a""#, r#"{"a""#),
            (&format!("{{{}", "x".repeat(40)), &format!("{{{} ...", "x".repeat(29))),
        ] {
            assert_eq!(shown(body.as_bytes()), expected);
        }
    }
}
