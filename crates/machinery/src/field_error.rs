//! What is wrong with one field of an object, in Kubernetes' words.
use crate::Cause;
use serde_json::Value;

/// One broken rule. `path` is written as Kubernetes writes it: `spec.containers[0].name`, `metadata.labels`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    pub path: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    Required { detail: String },
    Invalid { value: Value, detail: String },
    NotSupported { value: Value, supported: Vec<String> },
    Duplicate { value: Value },
    Forbidden { detail: String },
    TooLong { max_bytes: usize },
    TooMany { actual: usize, max: usize },
    NotFound { value: Value },
    TypeInvalid { value: Value, detail: String },
}

impl FieldError {
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Required { detail: detail.into() } }
    }
    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Invalid { value: value.into(), detail: detail.into() } }
    }
    pub fn not_supported(path: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let supported = supported.iter().map(|s| (*s).to_owned()).collect();
        Self { path: path.into(), problem: Problem::NotSupported { value: value.into(), supported } }
    }
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), problem: Problem::Duplicate { value: value.into() } }
    }
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Forbidden { detail: detail.into() } }
    }

    /// The cause of a Status that this error becomes.
    pub fn cause(&self) -> Cause {
        Cause { reason: self.problem.reason().into(), message: self.problem.to_string(), field: self.path.clone() }
    }
}

impl Problem {
    /// The machine-readable reason of a cause.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Required { .. } => "FieldValueRequired",
            Self::Invalid { .. } => "FieldValueInvalid",
            Self::NotSupported { .. } => "FieldValueNotSupported",
            Self::Duplicate { .. } => "FieldValueDuplicate",
            Self::Forbidden { .. } => "FieldValueForbidden",
            Self::TooLong { .. } => "FieldValueTooLong",
            Self::TooMany { .. } => "FieldValueTooMany",
            Self::NotFound { .. } => "FieldValueNotFound",
            Self::TypeInvalid { .. } => "FieldValueTypeInvalid",
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let with = |f: &mut std::fmt::Formatter<'_>, head: &str, detail: &str| {
            if detail.is_empty() { f.write_str(head) } else { write!(f, "{head}: {detail}") }
        };
        match self {
            Self::Required { detail } => with(f, "Required value", detail),
            Self::Invalid { value, detail } => with(f, &format!("Invalid value: {value}"), detail),
            Self::TypeInvalid { value, detail } => with(f, &format!("Invalid value: {value}"), detail),
            Self::NotSupported { value, supported } => {
                let list: Vec<_> = supported.iter().map(|s| format!("{s:?}")).collect();
                with(f, &format!("Unsupported value: {value}"), &format!("supported values: {}", list.join(", ")))
            }
            Self::Duplicate { value } => write!(f, "Duplicate value: {value}"),
            Self::Forbidden { detail } => with(f, "Forbidden", detail),
            Self::TooLong { max_bytes } => write!(f, "Too long: may not be more than {max_bytes} bytes"),
            Self::TooMany { actual, max } => write!(f, "Too many: {actual}: must have at most {max} items"),
            Self::NotFound { value } => write!(f, "Not found: {value}"),
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}
