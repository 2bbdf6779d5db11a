//! Reads Kubernetes' protobuf bodies (`k8s\0` and a `runtime.Unknown`) into the JSON that they stand for.
//!
//! kubectl from 1.32 on and controller-runtime send their objects so and take no other answer than that it is understood. What a Go
//! writer puts on the wire only because the place exists (`nodeName: ""`) is left out, as its JSON would leave it out.
mod wire;

use crate::{
    Quantity, json,
    schema::{Field, Item, Plain, Schema, SchemaOr, Shape, Type},
};
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};
use wire::{Message, Part};

const MAGIC: &[u8] = b"k8s\0";
/// Messages in messages. A pod needs 14; a CRD's schema two for each level.
const MAX_DEPTH: usize = 200;
/// The zero of Go's time, in seconds: some writers send it for no time at all.
const NO_TIME: i64 = -62_135_596_800;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// Not an envelope: nobody can say what it is.
    #[error("{0}")]
    Unrecognized(&'static str),
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
    /// The object inside cannot be read.
    #[error("{0}")]
    Malformed(String),
}

type Decoded<T> = Result<T, ProtobufError>;

/// An object with `apiVersion` and `kind` filled in.
pub fn decode(schema: &Schema, body: &[u8]) -> Decoded<Value> {
    decode_or(schema, body, "", "")
}

/// The same; what the envelope leaves open is of the given version and kind, as the URL says.
pub fn decode_or(schema: &Schema, body: &[u8], api_version: &str, kind: &str) -> Decoded<Value> {
    if body.is_empty() {
        return Err(ProtobufError::Unrecognized("empty data"));
    }
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or(ProtobufError::Unrecognized("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"))?;
    if envelope.is_empty() {
        return Err(ProtobufError::Unrecognized("empty body"));
    }
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in Message(envelope) {
        match field? {
            (1, Part::Bytes(bytes)) => type_meta = bytes,
            (2, Part::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut said_version, mut said_kind) = (api_version.to_owned(), kind.to_owned());
    for field in Message(type_meta) {
        match field? {
            (1, Part::Bytes(text)) if !text.is_empty() => said_version = lossy(text),
            (2, Part::Bytes(text)) if !text.is_empty() => said_kind = lossy(text),
            _ => {}
        }
    }
    let Some(object) = schema.kind(&said_version, &said_kind) else {
        return Err(ProtobufError::UnknownKind { api_version: said_version, kind: said_kind });
    };
    let mut map = Map::new();
    read_object(raw, object, &mut map, MAX_DEPTH)?;
    map.insert("apiVersion".into(), said_version.into());
    map.insert("kind".into(), said_kind.into());
    Ok(Value::Object(map))
}

/// Adds the message's fields to `map`. A message that comes in pieces is put together.
fn read_object(bytes: &[u8], object: Type, map: &mut Map<String, Value>, depth: usize) -> Decoded<()> {
    let depth = deeper(depth)?;
    for field in Message(bytes) {
        let (number, part) = field?;
        let Some(field) = object.numbered(number) else { continue };
        match field.shape() {
            Shape::Object(inner) if field.is_inline() => read_object(part.bytes()?, inner, map, depth)?,
            Shape::Object(inner) => {
                let slot = map.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(slot) = slot {
                    read_object(part.bytes()?, inner, slot, depth)?;
                }
            }
            Shape::List(item) => {
                let slot = map.entry(field.name()).or_insert_with(|| Value::Array(vec![]));
                if let Value::Array(slot) = slot {
                    read_elements(part, item, slot, depth)?;
                }
            }
            Shape::Map(item) => {
                let slot = map.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(slot) = slot {
                    read_entry(part.bytes()?, item, slot, depth)?;
                }
            }
            shape => set(map, field, read_value(part, shape, depth)?),
        }
    }
    Ok(())
}

/// Sets a field that holds one value, unless the writer only filled the place.
fn set(map: &mut Map<String, Value>, field: Field, value: Value) {
    let is_zero = match &value {
        Value::Null => {
            map.remove(field.name());
            return;
        }
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    };
    if is_zero && !field.keeps_zero() {
        map.remove(field.name());
    } else {
        map.insert(field.name().to_owned(), value);
    }
}

/// One element; or several numbers, where a writer packs them.
fn read_elements(part: Part, item: Item, list: &mut Vec<Value>, depth: usize) -> Decoded<()> {
    match (item.shape(), part) {
        (Shape::Plain(Plain::Int32 | Plain::Int64 | Plain::Boolean), Part::Bytes(packed)) => {
            let mut rest = packed;
            while !rest.is_empty() {
                let number = Part::Number(wire::varint(&mut rest)?);
                list.push(read_value(number, item.shape(), depth)?);
            }
        }
        (shape, part) => list.push(read_value(part, shape, depth)?),
    }
    Ok(())
}

/// A map's entry is a message of key and value; what is missing of it is zero.
fn read_entry(bytes: &[u8], item: Item, map: &mut Map<String, Value>, depth: usize) -> Decoded<()> {
    let depth = deeper(depth)?;
    let (mut key, mut value) = (String::new(), None);
    for field in Message(bytes) {
        match field? {
            (1, Part::Bytes(text)) => key = lossy(text),
            (2, part) => value = Some(read_value(part, item.shape(), depth)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => read_value(Part::Bytes(&[]), item.shape(), depth)?,
    };
    map.insert(key, value);
    Ok(())
}

fn read_value(part: Part, shape: Shape, depth: usize) -> Decoded<Value> {
    Ok(match shape {
        Shape::Plain(plain) => read_plain(part, plain)?,
        Shape::Object(object) => {
            let mut map = Map::new();
            read_object(part.bytes()?, object, &mut map, depth)?;
            Value::Object(map)
        }
        // A list or map that does not stand in a field is a message around its first field.
        Shape::List(item) => {
            let (mut list, depth) = (vec![], deeper(depth)?);
            for field in Message(part.bytes()?) {
                if let (1, part) = field? {
                    read_elements(part, item, &mut list, depth)?;
                }
            }
            Value::Array(list)
        }
        Shape::Map(item) => {
            let (mut map, depth) = (Map::new(), deeper(depth)?);
            for field in Message(part.bytes()?) {
                if let (1, part) = field? {
                    read_entry(part.bytes()?, item, &mut map, depth)?;
                }
            }
            Value::Object(map)
        }
        Shape::SchemaOr(or, object) => read_schema_or(part.bytes()?, or, object, depth)?,
    })
}

fn read_plain(part: Part, plain: Plain) -> Decoded<Value> {
    Ok(match plain {
        Plain::String => Value::String(lossy(part.bytes()?)),
        Plain::Bytes => Value::String(base64::engine::general_purpose::STANDARD.encode(part.bytes()?)),
        // Negative numbers of 32 bits come as 64; Go cuts what is too long, and so does this.
        Plain::Int32 => u32::try_from(part.integer()? & 0xffff_ffff).expect("32 bits are left").cast_signed().into(),
        Plain::Int64 => part.integer()?.into(),
        Plain::Number => Number::from_f64(part.float()?).map_or(Value::Null, Value::Number),
        Plain::Boolean => Value::Bool(part.integer()? != 0),
        Plain::IntOrString => int_or_string(part.bytes()?)?,
        Plain::Quantity => quantity(part.bytes()?)?,
        Plain::Time => time(part.bytes()?, "%Y-%m-%dT%H:%M:%SZ")?,
        Plain::MicroTime => time(part.bytes()?, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        Plain::Any => embedded(part.bytes()?)?,
    })
}

/// The three unions of a CRD's schema.
fn read_schema_or(bytes: &[u8], or: SchemaOr, object: Type, depth: usize) -> Decoded<Value> {
    let depth = deeper(depth)?;
    let mut list = vec![];
    let (mut schema, mut allows) = (None, false);
    for field in Message(bytes) {
        match (field?, or) {
            ((1, part), SchemaOr::Array | SchemaOr::Strings) => schema = Some(read_value(part, Shape::Object(object), depth)?),
            ((2, part), SchemaOr::Array) => list.push(read_value(part, Shape::Object(object), depth)?),
            ((2, part), SchemaOr::Strings) => list.push(Value::String(lossy(part.bytes()?))),
            ((1, part), SchemaOr::Bool) => allows = part.integer()? != 0,
            ((2, part), SchemaOr::Bool) => schema = Some(read_value(part, Shape::Object(object), depth)?),
            _ => {}
        }
    }
    Ok(match (schema, or) {
        (Some(schema), _) => schema,
        (None, SchemaOr::Bool) => Value::Bool(allows),
        (None, _) => Value::Array(list),
    })
}

fn int_or_string(bytes: &[u8]) -> Decoded<Value> {
    let (mut is_text, mut number, mut text) = (false, Value::from(0), String::new());
    for field in Message(bytes) {
        match field? {
            (1, part) => is_text = part.integer()? == 1,
            (2, part) => number = read_plain(part, Plain::Int32)?,
            (3, part) => text = lossy(part.bytes()?),
            _ => {}
        }
    }
    Ok(if is_text { Value::String(text) } else { number })
}

fn quantity(bytes: &[u8]) -> Decoded<Value> {
    let mut text = String::new();
    for field in Message(bytes) {
        if let (1, part) = field? {
            text = lossy(part.bytes()?);
        }
    }
    if text.is_empty() {
        return Ok(Value::from("0"));
    }
    Quantity::parse(&text).map(|q| Value::String(q.to_string())).map_err(|e| ProtobufError::Malformed(e.to_string()))
}

/// Null is no time.
fn time(bytes: &[u8], format: &str) -> Decoded<Value> {
    let (mut seconds, mut nanos, mut is_set) = (0, 0, false);
    for field in Message(bytes) {
        let (number, part) = field?;
        is_set = true;
        match number {
            1 => seconds = part.integer()?,
            2 => nanos = part.integer()?,
            _ => {}
        }
    }
    if !is_set || seconds == NO_TIME {
        return Ok(Value::Null);
    }
    let timestamp = i32::try_from(nanos).ok().and_then(|nanos| Timestamp::new(seconds, nanos).ok());
    timestamp
        .map(|t| Value::String(t.strftime(format).to_string()))
        .ok_or_else(|| ProtobufError::Malformed("a time is out of range".into()))
}

/// JSON in bytes: RawExtension, FieldsV1 and a CRD's defaults.
fn embedded(bytes: &[u8]) -> Decoded<Value> {
    let mut raw: &[u8] = &[];
    for field in Message(bytes) {
        if let (1, part) = field? {
            raw = part.bytes()?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    json::read(raw).map_err(|e| ProtobufError::Malformed(e.to_string()))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn deeper(depth: usize) -> Decoded<usize> {
    depth.checked_sub(1).ok_or_else(|| ProtobufError::Malformed("messages nest too deep".into()))
}

#[cfg(test)]
mod tests;
