//! From OpenAPI definitions and protobuf messages to the table that is packed.
use super::{
    messages::{self, Member, Messages},
    zeros,
};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub struct Table {
    pub shapes: Vec<Shape>,
    pub types: Vec<Type>,
    /// `apiVersion`, `kind`, position of the type.
    pub kinds: Vec<(String, String, usize)>,
}

pub struct Type {
    pub name: String,
    pub flags: u16,
    pub fields: Vec<Field>,
}

#[derive(Default, Clone)]
pub struct Field {
    pub name: String,
    pub shape: usize,
    pub number: u16,
    pub flags: u16,
    pub merge_key: Option<String>,
    pub map_keys: Vec<String>,
}

/// As the packed file numbers them.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    Plain(u8),
    /// What CRDs' schemas have in three places; the number says which.
    SchemaOr(u8, usize),
    Object(usize),
    List(usize),
    Map(usize),
}

const STRING: Shape = Shape::Plain(0);
const BYTES: Shape = Shape::Plain(1);
const INT32: Shape = Shape::Plain(2);
const INT64: Shape = Shape::Plain(3);
const NUMBER: Shape = Shape::Plain(4);
const BOOLEAN: Shape = Shape::Plain(5);
const INT_OR_STRING: Shape = Shape::Plain(6);
const QUANTITY: Shape = Shape::Plain(7);
const TIME: Shape = Shape::Plain(8);
const MICRO_TIME: Shape = Shape::Plain(9);
const ANY: Shape = Shape::Plain(10);

const REQUIRED: u16 = 1;
const LIST_SET: u16 = 1 << 2;
const LIST_MAP: u16 = 1 << 3;
const MAP_ATOMIC: u16 = 1 << 4;
const PATCH_MERGE: u16 = 1 << 5;
const RETAIN_KEYS: u16 = 1 << 6;
const MERGE_KEY: u16 = 1 << 7;
const INLINE: u16 = 1 << 8;
const ZERO_COUNTS: u16 = 1 << 9;
const WIRE_ONLY: u16 = 1 << 10;

const JSON_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
/// Groups of one letter more or less: what has no message in the older crate of messages has no number, and is only read as JSON.
const MESSAGE_MODULES: [(&str, &str); 4] = [
    ("io.k8s.apiextensions-apiserver.", "apiextensions_apiserver."),
    ("io.k8s.kube-aggregator.", "kube_aggregator."),
    ("io.k8s.apimachinery.", "apimachinery."),
    ("io.k8s.api.", "api."),
];

impl Shape {
    pub fn tag(self) -> u8 {
        match self {
            Self::Plain(tag) => tag,
            Self::SchemaOr(which, _) => 11 + which,
            Self::Object(_) => 14,
            Self::List(_) => 15,
            Self::Map(_) => 16,
        }
    }

    pub fn position(self) -> Option<usize> {
        match self {
            Self::Plain(_) => None,
            Self::SchemaOr(_, at) | Self::Object(at) | Self::List(at) | Self::Map(at) => Some(at),
        }
    }
}

impl Field {
    pub fn is_map_list(&self) -> bool {
        self.flags & LIST_MAP != 0
    }
}

/// Shapes that stand for a whole definition.
fn special(name: &str) -> Option<Shape> {
    Some(match name.rsplit('.').next()? {
        "Quantity" => QUANTITY,
        "IntOrString" => INT_OR_STRING,
        "Time" => TIME,
        "MicroTime" => MICRO_TIME,
        "RawExtension" | "FieldsV1" | "JSON" | "Patch" => ANY,
        _ => return None,
    })
}

pub fn table(document: &Value, messages: &Messages) -> anyhow::Result<Table> {
    let definitions = document["$defs"].as_object().context("the document has $defs")?;
    let is_type = |name: &&String| special(name).is_none() && !name.contains("JSONSchemaPropsOr");
    let mut names: Vec<String> = definitions.keys().filter(is_type).cloned().collect();
    let inline = inline_messages(definitions, messages, &names);
    names.extend(inline.keys().cloned());
    names.sort_unstable();
    let mut builder = Builder { names: &names, shapes: vec![], messages };
    let mut types = vec![];
    for name in &names {
        types.push(match inline.get(name) {
            Some(parent) => builder.wire_only(name, &definitions[parent])?,
            None => builder.object(name, &definitions[name])?,
        });
    }
    zeros::mark(&mut types, ZERO_COUNTS)?;
    let shapes = builder.shapes;
    let kinds = kinds(definitions, &names)?;
    Ok(Table { shapes, types, kinds })
}

/// Messages that JSON does not see, each with a definition whose properties are its fields.
fn inline_messages(definitions: &Map<String, Value>, messages: &Messages, names: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in names {
        for member in hidden_members(&definitions[name], message_of(name, messages)) {
            if let Some(message) = &member.message {
                found.entry(wire_name(message)).or_insert_with(|| name.clone());
            }
        }
    }
    found
}

fn wire_name(message: &str) -> String {
    format!("wire.{message}")
}

/// Members of a message for which JSON has no property of the same name.
fn hidden_members<'m>(definition: &Value, members: Option<&'m [Member]>) -> impl Iterator<Item = &'m Member> {
    let properties: Vec<_> = definition["properties"].as_object().into_iter().flat_map(Map::keys).map(|k| messages::plain(k)).collect();
    members.into_iter().flatten().filter(move |member| !properties.contains(&member.name))
}

fn message_of<'m>(name: &str, messages: &'m Messages) -> Option<&'m [Member]> {
    let (module, short) = name.rsplit_once('.')?;
    let (prefix, folder) = MESSAGE_MODULES.iter().find(|(prefix, _)| module.starts_with(prefix))?;
    messages.get(&messages::key(&module.replacen(prefix, folder, 1), short)).map(Vec::as_slice)
}

fn kinds(definitions: &Map<String, Value>, names: &[String]) -> anyhow::Result<Vec<(String, String, usize)>> {
    let mut kinds = vec![];
    for (at, name) in names.iter().enumerate() {
        let listed = definitions.get(name).and_then(|d| d["x-kubernetes-group-version-kind"].as_array());
        for gvk in listed.into_iter().flatten() {
            let text = |key: &str| gvk[key].as_str().with_context(|| format!("{name} has a {key}"));
            let (group, version, kind) = (text("group")?, text("version")?, text("kind")?);
            // These two are listed for every group; one entry each is enough.
            if matches!(kind, "DeleteOptions" | "WatchEvent") && !group.is_empty() {
                continue;
            }
            let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            kinds.push((api_version, kind.to_owned(), at));
        }
    }
    kinds.sort();
    kinds.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
    Ok(kinds)
}

struct Builder<'a> {
    names: &'a [String],
    shapes: Vec<Shape>,
    messages: &'a Messages,
}

impl Builder<'_> {
    fn object(&mut self, name: &str, definition: &Value) -> anyhow::Result<Type> {
        let required: Vec<_> = definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let members = message_of(name, self.messages);
        let mut fields = vec![];
        for (property, schema) in definition["properties"].as_object().into_iter().flatten() {
            let mut field = self.field(property, schema).with_context(|| format!("{name}.{property}"))?;
            field.flags |= u16::from(required.contains(&&**property)) * REQUIRED;
            field.number = number_of(property, members);
            fields.push(field);
        }
        for member in hidden_members(definition, members) {
            // A plain member without a property was withdrawn from the API.
            if let Some(message) = &member.message {
                fields.push(self.inline(member, message)?);
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let flags = map_flags(definition);
        Ok(Type { name: name.to_owned(), flags, fields })
    }

    /// A message whose fields JSON shows as those of `parent`.
    fn wire_only(&mut self, name: &str, parent: &Value) -> anyhow::Result<Type> {
        let message = name.strip_prefix("wire.").context("the names of such types say so")?;
        let members = self.messages.get(message).with_context(|| format!("{message} is a message"))?;
        let mut fields = vec![];
        for (property, schema) in parent["properties"].as_object().into_iter().flatten() {
            let number = number_of(property, Some(members));
            if number != 0 {
                fields.push(Field { number, ..self.field(property, schema)? });
            }
        }
        for member in hidden_members(parent, Some(members)) {
            let inner = member.message.as_ref().filter(|m| self.names.binary_search(&wire_name(m)).is_ok());
            if let Some(inner) = inner {
                fields.push(self.inline(member, inner)?);
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Type { name: name.to_owned(), flags: WIRE_ONLY, fields })
    }

    fn inline(&mut self, member: &Member, message: &str) -> anyhow::Result<Field> {
        let shape = Shape::Object(self.position(&wire_name(message))?);
        Ok(Field { name: member.name.clone(), shape: self.intern(shape), number: member.number, flags: INLINE, ..Field::default() })
    }

    fn field(&mut self, name: &str, schema: &Value) -> anyhow::Result<Field> {
        let text = |key: &str| schema[key].as_str().unwrap_or_default();
        let mut flags = map_flags(schema);
        flags |= match text("x-kubernetes-list-type") {
            "set" => LIST_SET,
            "map" => LIST_MAP,
            _ => 0,
        };
        for strategy in text("x-kubernetes-patch-strategy").split(',') {
            flags |= match strategy {
                "merge" => PATCH_MERGE,
                "retainKeys" => RETAIN_KEYS,
                _ => 0,
            };
        }
        let merge_key = schema["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned);
        flags |= if merge_key.is_some() { MERGE_KEY } else { 0 };
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        let map_keys = keys.filter_map(Value::as_str).map(str::to_owned).collect();
        let shape = self.shape(schema)?;
        Ok(Field { name: name.to_owned(), shape: self.intern(shape), number: 0, flags, merge_key, map_keys })
    }

    fn shape(&mut self, schema: &Value) -> anyhow::Result<Shape> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let or = ["JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"]
                .iter()
                .position(|or| name.ends_with(or));
            return Ok(match (special(name), or) {
                (Some(shape), _) => shape,
                (None, Some(which)) => Shape::SchemaOr(u8::try_from(which)?, self.position(JSON_SCHEMA)?),
                (None, None) => Shape::Object(self.position(name)?),
            });
        }
        let format = schema["format"].as_str().unwrap_or_default();
        Ok(match type_of(schema) {
            Some("string") if format == "byte" => BYTES,
            Some("string") => STRING,
            Some("integer") if format == "int32" => INT32,
            Some("integer") => INT64,
            Some("number") => NUMBER,
            Some("boolean") => BOOLEAN,
            Some("array") => {
                let inner = self.shape(&schema["items"])?;
                Shape::List(self.intern(inner))
            }
            Some("object") if schema["additionalProperties"].is_object() => {
                let inner = self.shape(&schema["additionalProperties"])?;
                Shape::Map(self.intern(inner))
            }
            Some("object") => ANY,
            None if schema["oneOf"].is_array() => match &schema["oneOf"][1]["type"] {
                number if number.to_string().contains("number") => QUANTITY,
                _ => INT_OR_STRING,
            },
            None => ANY,
            Some(other) => bail!("a type {other} that is not known here"),
        })
    }

    fn position(&self, name: &str) -> anyhow::Result<usize> {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).ok().with_context(|| format!("{name} is not defined"))
    }

    /// Equal shapes are kept once; an inner shape always stands before the outer one.
    fn intern(&mut self, shape: Shape) -> usize {
        self.shapes.iter().position(|s| *s == shape).unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        })
    }
}

fn number_of(property: &str, members: Option<&[Member]>) -> u16 {
    let name = messages::plain(property);
    members.into_iter().flatten().find(|m| m.name == name).map_or(0, |m| m.number)
}

fn map_flags(schema: &Value) -> u16 {
    if schema["x-kubernetes-map-type"] == "atomic" { MAP_ATOMIC } else { 0 }
}

/// The wheel's schemas allow null everywhere; the other type is the one that is meant.
fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

/// The fields of a type, for those who mark them.
pub fn mark(types: &mut [Type], name: &str, field: &str, flag: u16) -> anyhow::Result<()> {
    let object = types.iter_mut().filter(|t| t.name.ends_with(name) && t.name[..t.name.len() - name.len()].ends_with('.'));
    let mut marked = 0;
    for field in object.flat_map(|t| &mut t.fields).filter(|f| f.name == field) {
        field.flags |= flag;
        marked += 1;
    }
    ensure!(marked > 0, "no field {field} in {name}");
    Ok(())
}
