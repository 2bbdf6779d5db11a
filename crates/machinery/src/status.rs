//! `Status`: how Kubernetes says no. Made once, at the edge, in the words that clients know.
use crate::{FieldError, GroupResource};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A refusal on its way to a client. `code` is the HTTP status.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    pub reason: Reason,
    pub message: String,
    pub details: Option<Box<Details>>,
}

/// The machine-readable reasons, spelled as they go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    #[serde(rename = "")]
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural, except for `Invalid`, where it is the Kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        let (group, kind) = (resource.group.to_string(), resource.resource.to_string());
        self.details = Some(Box::new(Details { name: name.into(), group, kind, ..Details::default() }));
        self
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(404, Reason::NotFound, format!("{resource} {name:?} not found")).about(resource, name)
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(409, Reason::AlreadyExists, format!("{resource} {name:?} already exists")).about(resource, name)
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::new(409, Reason::Conflict, message).about(resource, name)
    }

    /// The object changed since the writer read it.
    pub fn stale(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let named =
            if name.is_empty() { format!("{resource} is forbidden: {why}") } else { format!("{resource} {name:?} is forbidden: {why}") };
        Self::new(403, Reason::Forbidden, named).about(resource, name)
    }

    /// Validation failed. `group` and `kind` name the Kind, as clients expect here and only here.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let list: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let said = if let [one] = &list[..] { one.clone() } else { format!("[{}]", list.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes = errors.iter().map(FieldError::cause).collect();
        let details = Details { name: name.into(), group: group.into(), kind: kind.into(), causes, ..Details::default() };
        Self {
            code: 422,
            reason: Reason::Invalid,
            message: format!("{qualified} {name:?} is invalid: {said}"),
            details: Some(Box::new(details)),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Reason::BadRequest, message)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// A `watch`, a `continue` or a `resourceVersion` reaches behind what is kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Reason::Expired, message)
    }

    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut status = Self::new(500, Reason::InternalError, format!("Internal error occurred: {why}"));
        status.details =
            Some(Box::new(Details { causes: vec![Cause { message: why.to_string(), ..Cause::default() }], ..Details::default() }));
        status
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, Reason::ServiceUnavailable, message)
    }

    /// The body as it goes over the wire.
    pub fn to_json(&self) -> Value {
        let mut body =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message, "code": self.code});
        if self.reason != Reason::Unknown {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = json!(details);
        }
        body
    }

    /// Reads a Status that another server sent; anything else becomes an error of that HTTP code.
    pub fn from_json(code: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            reason: Option<Reason>,
            message: String,
            #[serde(default)]
            details: Option<Box<Details>>,
        }
        match serde_json::from_slice::<Wire>(body) {
            Ok(wire) => Self { code, reason: wire.reason.unwrap_or(Reason::Unknown), message: wire.message, details: wire.details },
            Err(_) => Self::new(code, Reason::Unknown, String::from_utf8_lossy(body).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_no_as_kubernetes_does() {
        let deployments = GroupResource::new("apps", "deployments");
        let two =
            [FieldError::required("spec.selector", ""), FieldError::invalid("spec.replicas", -1, "must be greater than or equal to 0")];
        for (status, words) in [
            (Status::not_found(&GroupResource::new("", "pods"), "a"), r#"pods "a" not found"#),
            (Status::already_exists(&deployments, "web"), r#"deployments.apps "web" already exists"#),
            (
                Status::invalid("apps", "Deployment", "web", &two),
                r#"Deployment.apps "web" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: must be greater than or equal to 0]"#,
            ),
        ] {
            assert_eq!(status.message, words);
        }
    }

    #[test]
    fn survives_the_wire() {
        let status = Status::conflict(&GroupResource::new("", "pods"), "a", "stale");
        let body = serde_json::to_vec(&status.to_json()).unwrap();
        assert_eq!(Status::from_json(409, &body), status);
    }
}
