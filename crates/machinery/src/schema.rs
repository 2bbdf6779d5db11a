//! The structural schema of the built-in kinds: field names, shapes, list and patch semantics, protobuf numbers. No prose.
//!
//! `cargo xtask gen-schema` writes it as one packed file; here it is unpacked once into flat tables (about 200 KB for 900 types and 5,000
//! fields) and read through small borrowed handles. A crate of typed descriptors was refused: it would cost ten times the memory.
mod packed;

pub use packed::SchemaError;

/// All types of the packed file. Handles borrow from it; recursion between types is by index.
#[derive(Debug)]
pub struct Schema {
    text: Box<str>,
    /// Where each name begins in `text`; one more at the end.
    starts: Box<[u32]>,
    shapes: Box<[RawShape]>,
    /// Sorted by name.
    types: Box<[TypeRow]>,
    /// Each type's fields side by side, sorted by name.
    fields: Box<[FieldRow]>,
    /// Map keys of lists, side by side.
    keys: Box<[u16]>,
    /// Sorted by `apiVersion`, then `kind`.
    kinds: Box<[KindRow]>,
}

#[derive(Debug, Clone, Copy)]
enum RawShape {
    Plain(Plain),
    SchemaOr(SchemaOr, u16),
    Object(u16),
    List(u16),
    Map(u16),
}

#[derive(Debug)]
struct TypeRow {
    name: u16,
    flags: u16,
    first_field: u32,
    field_count: u16,
}

#[derive(Debug)]
struct FieldRow {
    name: u16,
    shape: u16,
    number: u16,
    flags: u16,
    merge_key: u16,
    first_key: u16,
    key_count: u16,
}

#[derive(Debug)]
struct KindRow {
    api_version: u16,
    kind: u16,
    object: u16,
}

/// Bits of a type's or a field's flags, as the packed file has them.
mod flag {
    pub const REQUIRED: u16 = 1;
    pub const LIST_SET: u16 = 1 << 2;
    pub const LIST_MAP: u16 = 1 << 3;
    pub const MAP_ATOMIC: u16 = 1 << 4;
    pub const PATCH_MERGE: u16 = 1 << 5;
    pub const RETAIN_KEYS: u16 = 1 << 6;
    pub const MERGE_KEY: u16 = 1 << 7;
    /// A message on the wire whose fields stand beside its siblings in JSON.
    pub const INLINE: u16 = 1 << 8;
    /// An optional value whose zero differs from its absence.
    pub const ZERO_COUNTS: u16 = 1 << 9;
    /// A type that only protobuf knows.
    pub const WIRE_ONLY: u16 = 1 << 10;
}

/// Shapes that lead no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    String,
    /// Base64 in JSON.
    Bytes,
    Int32,
    Int64,
    Number,
    Boolean,
    IntOrString,
    Quantity,
    Time,
    MicroTime,
    /// Whatever the writer put there.
    Any,
}

/// The three places where a CRD's schema has a schema or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOr {
    Array,
    Bool,
    Strings,
}

/// What stands in a field, an element or a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'s> {
    Plain(Plain),
    SchemaOr(SchemaOr, Type<'s>),
    Object(Type<'s>),
    List(Item<'s>),
    Map(Item<'s>),
}

/// The shape of a list's elements or a map's values.
#[derive(Debug, Clone, Copy)]
pub struct Item<'s> {
    schema: &'s Schema,
    shape: u16,
}

/// One definition of the API.
#[derive(Clone, Copy)]
pub struct Type<'s> {
    schema: &'s Schema,
    index: u16,
}

/// One field of a type.
#[derive(Clone, Copy)]
pub struct Field<'s> {
    schema: &'s Schema,
    index: u32,
}

/// How server-side apply treats a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    /// Elements are known by [`Field::map_keys`].
    Map,
}

impl Schema {
    /// The type of an object by its `apiVersion` and `kind`. `DeleteOptions` belongs to every group.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Type<'_>> {
        let api_version = if kind == "DeleteOptions" { "v1" } else { api_version };
        let key = |row: &KindRow| (self.name(row.api_version), self.name(row.kind));
        let at = self.kinds.binary_search_by(|row| key(row).cmp(&(api_version, kind))).ok()?;
        Some(Type { schema: self, index: self.kinds[at].object })
    }

    /// `apiVersion`, `kind` and type of every kind, sorted.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, Type<'_>)> {
        self.kinds.iter().map(|row| (self.name(row.api_version), self.name(row.kind), Type { schema: self, index: row.object }))
    }

    /// A type by its name in OpenAPI: `io.k8s.api.core.v1.Pod`.
    pub fn definition(&self, name: &str) -> Option<Type<'_>> {
        let at = self.types.binary_search_by(|row| self.name(row.name).cmp(name)).ok()?;
        Some(Type { schema: self, index: u16::try_from(at).ok()? })
    }

    /// All types that OpenAPI knows, sorted by name.
    pub fn definitions(&self) -> impl Iterator<Item = Type<'_>> {
        (0..self.types.len())
            .filter_map(|at| Some(Type { schema: self, index: u16::try_from(at).ok()? }))
            .filter(|t| t.row().flags & flag::WIRE_ONLY == 0)
    }

    fn name(&self, symbol: u16) -> &str {
        let at = usize::from(symbol);
        &self.text[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn shape(&self, at: u16) -> Shape<'_> {
        let item = |shape| Item { schema: self, shape };
        let object = |index| Type { schema: self, index };
        match self.shapes[usize::from(at)] {
            RawShape::Plain(plain) => Shape::Plain(plain),
            RawShape::SchemaOr(or, index) => Shape::SchemaOr(or, object(index)),
            RawShape::Object(index) => Shape::Object(object(index)),
            RawShape::List(shape) => Shape::List(item(shape)),
            RawShape::Map(shape) => Shape::Map(item(shape)),
        }
    }
}

impl<'s> Item<'s> {
    pub fn shape(self) -> Shape<'s> {
        self.schema.shape(self.shape)
    }
}

impl<'s> Type<'s> {
    pub fn name(self) -> &'s str {
        self.schema.name(self.row().name)
    }

    /// The last part of the name, which is what messages call the type: `ObjectMeta`.
    pub fn short_name(self) -> &'s str {
        self.name().rsplit('.').next().unwrap_or_default()
    }

    /// The field that JSON knows by that name.
    pub fn field(self, name: &str) -> Option<Field<'s>> {
        let (first, rows) = self.rows();
        let at = rows.binary_search_by(|row| self.schema.name(row.name).cmp(name)).ok()?;
        Some(Field { schema: self.schema, index: first + u32::try_from(at).ok()? }).filter(|f| !f.is_inline())
    }

    /// The fields that JSON knows, sorted by name.
    pub fn fields(self) -> impl Iterator<Item = Field<'s>> {
        self.all_fields().filter(|f| !f.is_inline())
    }

    /// The field that protobuf knows by that number.
    pub(crate) fn numbered(self, number: u32) -> Option<Field<'s>> {
        self.all_fields().find(|f| number != 0 && u32::from(f.row().number) == number)
    }

    /// Server-side apply takes it as one value.
    pub fn is_atomic(self) -> bool {
        self.row().flags & flag::MAP_ATOMIC != 0
    }

    fn all_fields(self) -> impl Iterator<Item = Field<'s>> {
        let first = self.row().first_field;
        (first..first + u32::from(self.row().field_count)).map(move |index| Field { schema: self.schema, index })
    }

    fn rows(self) -> (u32, &'s [FieldRow]) {
        let first = self.row().first_field;
        (first, &self.schema.fields[first as usize..][..usize::from(self.row().field_count)])
    }

    fn row(self) -> &'s TypeRow {
        &self.schema.types[usize::from(self.index)]
    }
}

impl<'s> Field<'s> {
    pub fn name(self) -> &'s str {
        self.schema.name(self.row().name)
    }

    pub fn shape(self) -> Shape<'s> {
        self.schema.shape(self.row().shape)
    }

    pub fn is_required(self) -> bool {
        self.has(flag::REQUIRED)
    }

    /// Lists without a word of their own are atomic.
    pub fn list_kind(self) -> ListKind {
        match self.row().flags {
            flags if flags & flag::LIST_MAP != 0 => ListKind::Map,
            flags if flags & flag::LIST_SET != 0 => ListKind::Set,
            _ => ListKind::Atomic,
        }
    }

    /// Server-side apply takes the object or map as one value.
    pub fn is_atomic_map(self) -> bool {
        self.has(flag::MAP_ATOMIC) || matches!(self.shape(), Shape::Object(t) if t.is_atomic())
    }

    /// The keys by which server-side apply knows an element.
    pub fn map_keys(self) -> impl Iterator<Item = &'s str> {
        let row = self.row();
        let keys = &self.schema.keys[usize::from(row.first_key)..][..usize::from(row.key_count)];
        keys.iter().map(|key| self.schema.name(*key))
    }

    /// A strategic merge patch merges the list instead of replacing it.
    pub fn merges(self) -> bool {
        self.has(flag::PATCH_MERGE)
    }

    /// The one key by which a strategic merge patch knows an element; None for lists of plain values.
    pub fn merge_key(self) -> Option<&'s str> {
        self.has(flag::MERGE_KEY).then(|| self.schema.name(self.row().merge_key))
    }

    /// `kubectl apply` says in a strategic merge patch which keys may stay.
    pub fn retains_keys(self) -> bool {
        self.has(flag::RETAIN_KEYS)
    }

    /// Zero is more than absence here, so protobuf's zero becomes JSON's. Elsewhere the writer only filled the place.
    pub fn keeps_zero(self) -> bool {
        self.has(flag::ZERO_COUNTS) || self.has(flag::REQUIRED)
    }

    pub(crate) fn is_inline(self) -> bool {
        self.has(flag::INLINE)
    }

    fn has(self, bit: u16) -> bool {
        self.row().flags & bit != 0
    }

    fn row(self) -> &'s FieldRow {
        &self.schema.fields[self.index as usize]
    }
}

impl std::fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
pub(crate) mod tests;
