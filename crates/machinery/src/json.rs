//! Reads a client's JSON: bounded in depth, strict about types, noting what is unknown or said twice.
//!
//! Written by hand because the answers have to be Kubernetes' own: its words for syntax errors, its order of warnings, its places of
//! wrong types, U+FFFD for broken UTF-8. No recursion: nesting costs heap, not stack, and what the schema does not know is
//! skipped without being built.
mod scan;

use crate::{
    Quantity,
    schema::{Plain, SchemaOr, Shape, Type},
};
use scan::{Begin, Next, Scanner};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The real server's limit on nesting.
pub const MAX_NESTING: usize = 10_000;
/// The same for what is kept: dropping and writing a `Value` recurses, and a worker's stack has 2 MiB.
pub const MAX_DEPTH: usize = 500;
/// How many unknown or duplicate fields are told; a body of nothing else would make an answer as large as itself.
pub const MAX_ODDITIES: usize = 100;

const TYPE_META: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Why a body cannot be an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON, nests too deep, or has no readable `apiVersion` and `kind`.
    #[error("{0}")]
    Syntax(String),
    /// It is JSON, but not of the type's shape.
    #[error("{0}")]
    Mismatch(String),
}

/// What strict field validation refuses and lenient validation warns of. Shown as `unknown field "spec.foo"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    Unknown { path: String },
    Duplicate { path: String },
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { path } => write!(f, "unknown field {path:?}"),
            Self::Duplicate { path } => write!(f, "duplicate field {path:?}"),
        }
    }
}

/// Any JSON, of bounded depth.
pub fn read(body: &[u8]) -> Result<Value, JsonError> {
    Ok(Reader::new(&String::from_utf8_lossy(body)).run(Expect::Free)?.0)
}

/// The same, with fields that are said twice; the last one counts.
pub fn read_noting(body: &[u8]) -> Result<(Value, Vec<Oddity>), JsonError> {
    Reader::new(&String::from_utf8_lossy(body)).run(Expect::Free)
}

/// An object of a known type. Unknown fields are noted and left out, nulls count as absent, quantities and times become canonical. Oddities
/// come in the order of the text.
pub fn read_as(body: &[u8], object: Type) -> Result<(Value, Vec<Oddity>), JsonError> {
    Reader::new(&String::from_utf8_lossy(body)).run(Expect::Shape(Shape::Object(object)))
}

/// How deep a value nests: 0 for a plain one. Does not recurse.
pub fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(value, 0)];
    while let Some((value, level)) = rest.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Array(list) => rest.extend(list.iter().map(|v| (v, level + 1))),
            Value::Object(map) => rest.extend(map.values().map(|v| (v, level + 1))),
            _ => {}
        }
    }
    deepest
}

#[derive(Clone, Copy)]
enum Expect<'s> {
    Free,
    Skip,
    Shape(Shape<'s>),
}

enum Holder {
    Object(Map<String, Value>),
    List(Vec<Value>),
    /// Nothing of it is kept.
    Skipped {
        is_object: bool,
    },
}

struct Frame<'s> {
    holder: Holder,
    /// What is expected of the whole.
    expect: Expect<'s>,
    /// The member that is being read.
    key: String,
    /// Where the path of the whole ends.
    path_length: usize,
}

impl Frame<'_> {
    fn is_object(&self) -> bool {
        matches!(self.holder, Holder::Object(_) | Holder::Skipped { is_object: true })
    }
}

struct Reader<'t, 's> {
    scanner: Scanner<'t>,
    stack: Vec<Frame<'s>>,
    path: String,
    kept_depth: usize,
    oddities: Vec<Oddity>,
    mismatch: Option<JsonError>,
}

impl<'t, 's> Reader<'t, 's> {
    fn new(text: &'t str) -> Self {
        Self { scanner: Scanner::new(text), stack: vec![], path: String::new(), kept_depth: 0, oddities: vec![], mismatch: None }
    }

    fn run(mut self, root: Expect<'s>) -> Result<(Value, Vec<Oddity>), JsonError> {
        let value = self.document(root)?;
        match self.mismatch {
            Some(mismatch) => Err(mismatch),
            None => Ok((value.unwrap_or_default(), self.oddities)),
        }
    }

    fn document(&mut self, mut expect: Expect<'s>) -> Result<Option<Value>, JsonError> {
        loop {
            let mut done = match self.scanner.begin()? {
                begin @ (Begin::Object | Begin::Array) => {
                    let is_object = matches!(begin, Begin::Object);
                    self.open(is_object, expect)?;
                    if self.scanner.closes_at_once(is_object) {
                        self.close()
                    } else {
                        expect = self.member()?;
                        continue;
                    }
                }
                Begin::Plain(value) => self.plain(value, expect),
                Begin::Number(text) => self.number(text, expect),
            };
            loop {
                let Some(is_object) = self.stack.last().map(Frame::is_object) else {
                    self.scanner.end()?;
                    return Ok(done);
                };
                self.place(done);
                match self.scanner.next(is_object)? {
                    Next::Member => break,
                    Next::Close => done = self.close(),
                }
            }
            expect = self.member()?;
        }
    }

    fn open(&mut self, is_object: bool, expect: Expect<'s>) -> Result<(), JsonError> {
        let fits = match expect {
            Expect::Free | Expect::Skip | Expect::Shape(Shape::Plain(Plain::Any)) => true,
            Expect::Shape(Shape::Object(_) | Shape::Map(_)) => is_object,
            Expect::Shape(Shape::List(_)) => !is_object,
            Expect::Shape(Shape::SchemaOr(or, _)) => is_object || or != SchemaOr::Bool,
            Expect::Shape(Shape::Plain(_)) => false,
        };
        let expect = match expect {
            Expect::Shape(shape) if !fits => {
                self.complain(if is_object { "object" } else { "array" }, shape);
                Expect::Skip
            }
            Expect::Shape(Shape::Plain(Plain::Any)) => Expect::Free,
            other => other,
        };
        let holder = match (expect, is_object) {
            (Expect::Skip, is_object) => Holder::Skipped { is_object },
            (_, true) => Holder::Object(Map::new()),
            (_, false) => Holder::List(vec![]),
        };
        self.kept_depth += usize::from(!matches!(expect, Expect::Skip));
        if self.kept_depth > MAX_DEPTH || self.stack.len() >= MAX_NESTING {
            let bracket = if is_object { '{' } else { '[' };
            return Err(JsonError::Syntax(format!("invalid character '{bracket}' exceeded max depth")));
        }
        self.stack.push(Frame { holder, expect, key: String::new(), path_length: self.path.len() });
        Ok(())
    }

    fn close(&mut self) -> Option<Value> {
        let frame = self.stack.pop().expect("a frame is closed by its own bracket");
        self.path.truncate(frame.path_length);
        self.kept_depth -= usize::from(!matches!(frame.holder, Holder::Skipped { .. }));
        match frame.holder {
            Holder::Object(map) => Some(Value::Object(map)),
            Holder::List(list) => Some(Value::Array(list)),
            Holder::Skipped { .. } => None,
        }
    }

    /// Begins the next member of the innermost object or list: reads its key, and says what its value has to be.
    fn member(&mut self) -> Result<Expect<'s>, JsonError> {
        let frame = self.stack.last_mut().expect("members stand in something");
        let key = if frame.is_object() { Some(self.scanner.key()?) } else { None };
        let frame = self.stack.last_mut().expect("members stand in something");
        self.path.truncate(frame.path_length);
        let Some(key) = key else {
            let at = if let Holder::List(list) = &frame.holder { list.len() } else { 0 };
            self.path.push_str(&format!("[{at}]"));
            return Ok(element(frame.expect));
        };
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(&key);
        let is_twice = matches!(&frame.holder, Holder::Object(map) if map.contains_key(&*key));
        let expect = match frame.expect {
            Expect::Shape(Shape::Object(object) | Shape::SchemaOr(_, object)) => {
                object.field(&key).map_or(Expect::Skip, |f| Expect::Shape(f.shape()))
            }
            Expect::Shape(Shape::Map(item)) => Expect::Shape(item.shape()),
            other => other,
        };
        let is_unknown = matches!((frame.expect, expect), (Expect::Shape(_), Expect::Skip));
        frame.key = key.into_owned();
        if (is_twice || is_unknown) && self.oddities.len() < MAX_ODDITIES {
            let path = self.path.clone();
            self.oddities.push(if is_unknown { Oddity::Unknown { path } } else { Oddity::Duplicate { path } });
        }
        Ok(expect)
    }

    /// Puts a finished value where it belongs. None was skipped.
    fn place(&mut self, value: Option<Value>) {
        let frame = self.stack.last_mut().expect("values are placed in something");
        let is_typed = matches!(frame.expect, Expect::Shape(_));
        match (&mut frame.holder, value) {
            (Holder::Skipped { .. }, _) | (Holder::Object(_), None) => {}
            (Holder::Object(map), Some(Value::Null)) if is_typed && !matches!(frame.expect, Expect::Shape(Shape::Map(_))) => {
                map.remove(&frame.key);
            }
            (Holder::Object(map), Some(value)) => {
                map.insert(std::mem::take(&mut frame.key), value);
            }
            (Holder::List(list), value) => list.push(value.unwrap_or_default()),
        }
    }

    fn plain(&mut self, value: Value, expect: Expect<'s>) -> Option<Value> {
        let Expect::Shape(shape) = expect else {
            return matches!(expect, Expect::Free).then_some(value);
        };
        let found = match (&value, shape) {
            (Value::Null, _) => return Some(self.nothing(shape)),
            (_, Shape::Plain(Plain::Any)) | (Value::Bool(_), Shape::Plain(Plain::Boolean) | Shape::SchemaOr(SchemaOr::Bool, _)) => {
                return Some(value);
            }
            (Value::String(text), Shape::Plain(plain)) => match canonical(text, plain) {
                Ok(Some(text)) => return Some(Value::String(text)),
                Ok(None) => "string",
                Err(words) => {
                    self.mismatch.get_or_insert(JsonError::Mismatch(words));
                    return None;
                }
            },
            (Value::String(_), _) => "string",
            _ => "bool",
        };
        self.complain(found, shape);
        None
    }

    /// Null is absence in a field, and a zero among elements and values.
    fn nothing(&self, shape: Shape) -> Value {
        if self.stack.last().is_some_and(|f| matches!(f.expect, Expect::Shape(Shape::Object(_) | Shape::SchemaOr(..)) if f.is_object())) {
            return Value::Null;
        }
        match shape {
            Shape::Plain(Plain::String) => Value::String(String::new()),
            Shape::Plain(Plain::Int32 | Plain::Int64 | Plain::Number) => Value::from(0),
            Shape::Plain(Plain::Boolean) => Value::Bool(false),
            Shape::Plain(Plain::Quantity) => Value::from("0"),
            Shape::Object(_) => Value::Object(Map::new()),
            Shape::List(_) => Value::Array(vec![]),
            _ => Value::Null,
        }
    }

    fn number(&mut self, text: &str, expect: Expect<'s>) -> Option<Value> {
        let number = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
        let float = || text.parse::<f64>().ok().and_then(Number::from_f64);
        let kept = match expect {
            Expect::Skip => return None,
            Expect::Free | Expect::Shape(Shape::Plain(Plain::Any | Plain::Number)) => number.or_else(float),
            Expect::Shape(Shape::Plain(Plain::Int32 | Plain::IntOrString)) => text.parse::<i32>().ok().map(Number::from),
            Expect::Shape(Shape::Plain(Plain::Int64)) => text.parse::<i64>().ok().map(Number::from),
            Expect::Shape(Shape::Plain(Plain::Quantity)) => match Quantity::parse(text) {
                Ok(quantity) => return Some(Value::String(quantity.to_string())),
                Err(_) => None,
            },
            Expect::Shape(shape) => {
                self.complain("number", shape);
                return None;
            }
        };
        if kept.is_none() {
            let shape = if let Expect::Shape(shape) = expect { shape } else { Shape::Plain(Plain::Number) };
            self.complain(&format!("number {text}"), shape);
        }
        kept.map(Value::Number)
    }

    /// Keeps the first wrong type; reading goes on, for a syntax error behind it counts more.
    fn complain(&mut self, found: &str, wanted: Shape) {
        if self.mismatch.is_some() {
            return;
        }
        let typed = self.stack.iter().filter_map(|f| match f.expect {
            Expect::Shape(Shape::Object(object) | Shape::SchemaOr(_, object)) if f.is_object() => Some((object, &*f.key)),
            _ => None,
        });
        let (objects, keys): (Vec<_>, Vec<_>) = typed.unzip();
        let wanted = go_type(wanted);
        self.mismatch = Some(match (objects.last(), &keys[..]) {
            (None, _) => JsonError::Syntax(format!("json: cannot unmarshal {found} into Go value of type {TYPE_META}")),
            (Some(_), [key @ ("apiVersion" | "kind")]) => {
                JsonError::Syntax(format!("json: cannot unmarshal {found} into Go struct field .{key} of type {wanted}"))
            }
            (Some(object), keys) => {
                let field = format!("{}.{}", object.short_name(), keys.join("."));
                JsonError::Mismatch(format!("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}"))
            }
        });
    }
}

fn element(expect: Expect<'_>) -> Expect<'_> {
    match expect {
        Expect::Shape(Shape::List(item)) => Expect::Shape(item.shape()),
        Expect::Shape(Shape::SchemaOr(SchemaOr::Strings, _)) => Expect::Shape(Shape::Plain(Plain::String)),
        Expect::Shape(Shape::SchemaOr(_, object)) => Expect::Shape(Shape::Object(object)),
        other => other,
    }
}

/// A string as it is stored, None where no string belongs, or what is wrong with it.
fn canonical(text: &str, plain: Plain) -> Result<Option<String>, String> {
    use base64::Engine as _;
    match plain {
        Plain::String | Plain::IntOrString => Ok(Some(text.to_owned())),
        Plain::Bytes => match base64::engine::general_purpose::STANDARD.decode(text.replace(['\r', '\n'], "")) {
            Ok(_) => Ok(Some(text.replace(['\r', '\n'], ""))),
            Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => {
                Err(format!("illegal base64 data at input byte {at}"))
            }
            Err(_) => Err(format!("illegal base64 data at input byte {}", text.len() / 4 * 4)),
        },
        Plain::Quantity if text.is_empty() => Ok(Some("0".into())),
        Plain::Quantity => Quantity::parse(text).map(|q| Some(q.to_string())).map_err(|e| e.to_string()),
        Plain::Time => time(text, "2006-01-02T15:04:05Z07:00", |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).map(Some),
        Plain::MicroTime => time(text, "2006-01-02T15:04:05.000000Z07:00", |t| t.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()).map(Some),
        Plain::Int32 | Plain::Int64 | Plain::Number | Plain::Boolean | Plain::Any => Ok(None),
    }
}

fn time(text: &str, layout: &str, write: impl Fn(jiff::Timestamp) -> String) -> Result<String, String> {
    let wrong = |rest: &str, wanted: &str| format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {wanted:?}");
    let has_fraction =
        text.get(19..).is_some_and(|rest| rest.starts_with('.') && rest[1..].bytes().take_while(u8::is_ascii_digit).count() == 6);
    match text.parse::<jiff::Timestamp>() {
        Ok(_) if text.as_bytes().get(10) != Some(&b'T') => Err(wrong(text.get(10..).unwrap_or_default(), "T")),
        // Leases tell their times to the microsecond, and nothing less is taken.
        Ok(_) if layout.contains(".000000") && !has_fraction => Err(wrong(text.get(19..).unwrap_or_default(), ".000000")),
        Ok(timestamp) => Ok(write(timestamp)),
        Err(_) => Err(wrong(text, "2006")),
    }
}

/// A shape as Kubernetes' messages call it.
fn go_type(shape: Shape) -> String {
    match shape {
        Shape::Plain(Plain::String) => "string".into(),
        Shape::Plain(Plain::Bytes) => "[]uint8".into(),
        Shape::Plain(Plain::Int32) => "int32".into(),
        Shape::Plain(Plain::Int64) => "int64".into(),
        Shape::Plain(Plain::Number) => "float64".into(),
        Shape::Plain(Plain::Boolean) => "bool".into(),
        Shape::Plain(Plain::IntOrString) => "intstr.IntOrString".into(),
        Shape::Plain(Plain::Quantity) => "resource.Quantity".into(),
        Shape::Plain(Plain::Time) => "v1.Time".into(),
        Shape::Plain(Plain::MicroTime) => "v1.MicroTime".into(),
        Shape::Plain(Plain::Any) => "interface {}".into(),
        Shape::Object(object) | Shape::SchemaOr(_, object) => {
            let mut parts = object.name().rsplit('.');
            let (name, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{package}.{name}")
        }
        Shape::List(item) => format!("[]{}", go_type(item.shape())),
        Shape::Map(item) => format!("map[string]{}", go_type(item.shape())),
    }
}

#[cfg(test)]
mod tests;
