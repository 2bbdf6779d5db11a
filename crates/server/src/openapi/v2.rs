//! `/openapi/v2` as protobuf, for clients from before v3: the shapes of the served kinds and how their lists are merged. Pure.
//!
//! kubectl up to 1.28 reads it at every apply and takes nothing else. Only what such a client looks at is said: definitions, no paths.
//! The field numbers are those of the gnostic project's `OpenAPIv2.proto`.
use super::{collect, group_version_kind};
use knarr_kinds::Table;
use knarr_machinery::schema::{Field, ListKind, Plain, Schema, Shape, Type};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How the answer calls itself.
pub const MEDIA: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A message being written: numbered fields, one after the other.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        // Field numbers above 15 take two bytes for their tag, like any large number.
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u8, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }
}

pub fn document(kinds: &Table, schema: &Schema) -> Vec<u8> {
    let mut types = BTreeMap::new();
    let mut names: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for row in kinds.rows() {
        if let Some(found) = schema.kind(&row.api_version(), &row.kind) {
            collect(found, &mut types);
            names.entry(found.name()).or_default().push(group_version_kind(row));
        }
    }
    let mut definitions = Message::default();
    for (name, found) in types {
        let mut shape = object(found);
        if let Some(kinds) = names.get(name) {
            shape = extended(shape, "x-kubernetes-group-version-kind", &json!(kinds));
        }
        definitions = definitions.message(1, &named(name, &shape));
    }
    let info = Message::default().text(1, "Kubernetes").text(2, crate::version::GIT_VERSION);
    let paths = Message::default();
    Message::default().text(1, "2.0").message(2, &info).message(8, &paths).message(9, &definitions).0
}

fn named(name: &str, value: &Message) -> Message {
    Message::default().text(1, name).message(2, value)
}

/// A schema with a vendor extension, whose value is YAML; JSON is YAML.
fn extended(schema: Message, name: &str, value: &Value) -> Message {
    let any = Message::default().text(2, &value.to_string());
    schema.message(31, &named(name, &any))
}

fn typed(name: &str) -> Message {
    Message::default().message(22, &Message::default().text(1, name))
}

fn object(found: Type<'_>) -> Message {
    let mut properties = Message::default();
    let mut schema = typed("object");
    for field in found.fields() {
        properties = properties.message(1, &named(field.name(), &property(field)));
        if field.is_required() {
            schema = schema.text(19, field.name());
        }
    }
    schema.message(25, &properties)
}

fn property(field: Field<'_>) -> Message {
    let mut schema = shaped(field.shape());
    if matches!(field.shape(), Shape::List(_)) {
        let kind = match field.list_kind() {
            ListKind::Atomic => "atomic",
            ListKind::Set => "set",
            ListKind::Map => "map",
        };
        schema = extended(schema, "x-kubernetes-list-type", &json!(kind));
    }
    let strategy = super::patch_strategy(field);
    if !strategy.is_empty() {
        schema = extended(schema, "x-kubernetes-patch-strategy", &json!(strategy));
    }
    match field.merge_key() {
        Some(key) => extended(schema, "x-kubernetes-patch-merge-key", &json!(key)),
        None => schema,
    }
}

fn shaped(shape: Shape<'_>) -> Message {
    let formatted = |name: &str, format: &str| typed(name).text(2, format);
    match shape {
        Shape::Object(found) | Shape::SchemaOr(_, found) => Message::default().text(1, &format!("#/definitions/{}", found.name())),
        Shape::List(item) => typed("array").message(23, &Message::default().message(1, &shaped(item.shape()))),
        Shape::Map(item) => typed("object").message(21, &Message::default().message(1, &shaped(item.shape()))),
        Shape::Plain(plain) => match plain {
            Plain::String | Plain::Quantity => typed("string"),
            Plain::Bytes => formatted("string", "byte"),
            Plain::Int32 => formatted("integer", "int32"),
            Plain::Int64 => formatted("integer", "int64"),
            Plain::Number => formatted("number", "double"),
            Plain::Boolean => typed("boolean"),
            Plain::IntOrString => formatted("string", "int-or-string"),
            Plain::Time | Plain::MicroTime => formatted("string", "date-time"),
            Plain::Any => typed("object"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_protobuf_has_them() {
        let nested = Message::default().message(2, &Message::default().text(1, "ab"));
        assert_eq!(nested.0, [0x12, 4, 0x0a, 2, b'a', b'b']);
        let long = Message::default().text(31, &"x".repeat(300));
        assert_eq!(long.0[..4], [0xfa, 0x01, 0xac, 0x02]);
    }

    #[test]
    fn says_each_kinds_name_and_how_its_lists_merge() {
        let text = document(&Table::new(knarr_kinds::builtin()), knarr_kinds::schema());
        let text = String::from_utf8_lossy(&text);
        for expected in [
            r#"[{"group":"apps","kind":"Deployment","version":"v1"}]"#,
            "#/definitions/io.k8s.api.core.v1.PodSpec",
            "x-kubernetes-patch-merge-key",
        ] {
            assert!(text.contains(expected), "{expected}");
        }
    }
}
