//! The packed file: deflated; inside it numbers of seven bits a byte, low bits first, and texts with their length before them.
//!
//! ```text
//! "knarr-schema-1"
//! names:  count, then each text                         (later places name them by position)
//! shapes: count, then each tag, and for what leads on the position of a type (11-14) or of a shape (15, 16)
//! types:  count, then each name, flags, count of fields; then each field: name, shape, number, flags,
//!         merge key if flagged, and the count of map keys and each if the list is a map
//! kinds:  count, then each apiVersion, kind, type
//! ```
use super::{FieldRow, KindRow, Plain, RawShape, Schema, SchemaOr, TypeRow, flag};
use std::io::Read;

const MAGIC: &[u8] = b"knarr-schema-1";
/// The real file holds some 100 KB; this only stops a broken one from filling the memory.
const MAX_UNPACKED_BYTES: u64 = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the packed schema cannot be inflated")]
    Inflate(#[from] std::io::Error),
    #[error("the packed schema is broken: {0}")]
    Broken(&'static str),
}

impl Schema {
    /// Reads what `cargo xtask gen-schema` wrote. Every index in it is checked here, so that lookups need not.
    pub fn unpack(packed: &[u8]) -> Result<Self, SchemaError> {
        let mut bytes = vec![];
        flate2::read::DeflateDecoder::new(packed).take(MAX_UNPACKED_BYTES).read_to_end(&mut bytes)?;
        let mut reader = Reader { rest: bytes.strip_prefix(MAGIC).ok_or(SchemaError::Broken("wrong beginning"))?, names: 0 };
        let (text, starts) = reader.names()?;
        let shapes = reader.many(Reader::shape)?;
        let (mut fields, mut keys) = (vec![], vec![]);
        let types = reader.many(|r| r.object(&mut fields, &mut keys))?;
        let kinds = reader.many(|r| Ok(KindRow { api_version: r.symbol()?, kind: r.symbol()?, object: r.short()? }))?;
        if !reader.rest.is_empty() {
            return Err(SchemaError::Broken("something follows the kinds"));
        }
        let schema = Self { text, starts, shapes, types, fields: fields.into(), keys: keys.into(), kinds };
        schema.leads_nowhere_else().then_some(schema).ok_or(SchemaError::Broken("a position beyond its table"))
    }

    fn leads_nowhere_else(&self) -> bool {
        let (types, shapes) = (self.types.len(), self.shapes.len());
        let shape_is_good = |(at, shape): (usize, &RawShape)| match shape {
            RawShape::Plain(_) => true,
            RawShape::SchemaOr(_, index) | RawShape::Object(index) => usize::from(*index) < types,
            // Only backwards, so that no shape contains itself.
            RawShape::List(inner) | RawShape::Map(inner) => usize::from(*inner) < at,
        };
        self.shapes.iter().enumerate().all(shape_is_good)
            && self.fields.iter().all(|f| usize::from(f.shape) < shapes)
            && self.kinds.iter().all(|k| usize::from(k.object) < types)
    }
}

struct Reader<'p> {
    rest: &'p [u8],
    names: usize,
}

type Unpacked<T> = Result<T, SchemaError>;

impl Reader<'_> {
    fn number(&mut self) -> Unpacked<u32> {
        let mut number = 0u32;
        for shift in [0, 7, 14, 21] {
            let (byte, rest) = self.rest.split_first().ok_or(SchemaError::Broken("it ends early"))?;
            self.rest = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SchemaError::Broken("a number is too large"))
    }

    fn short(&mut self) -> Unpacked<u16> {
        u16::try_from(self.number()?).map_err(|_| SchemaError::Broken("a number is too large"))
    }

    fn symbol(&mut self) -> Unpacked<u16> {
        let symbol = self.short()?;
        if usize::from(symbol) < self.names { Ok(symbol) } else { Err(SchemaError::Broken("a name that is not there")) }
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Unpacked<T>) -> Unpacked<Box<[T]>> {
        let count = self.short()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn names(&mut self) -> Unpacked<(Box<str>, Box<[u32]>)> {
        let (mut text, mut starts) = (String::new(), vec![0]);
        let place = |text: &str| u32::try_from(text.len()).map_err(|_| SchemaError::Broken("too much text"));
        for _ in 0..self.short()? {
            let length = usize::from(self.short()?);
            let name = self.rest.get(..length).ok_or(SchemaError::Broken("it ends early"))?;
            text.push_str(std::str::from_utf8(name).map_err(|_| SchemaError::Broken("a name is not UTF-8"))?);
            self.rest = &self.rest[length..];
            starts.push(place(&text)?);
        }
        self.names = starts.len() - 1;
        Ok((text.into(), starts.into()))
    }

    fn shape(&mut self) -> Unpacked<RawShape> {
        const PLAIN: [Plain; 11] = [
            Plain::String,
            Plain::Bytes,
            Plain::Int32,
            Plain::Int64,
            Plain::Number,
            Plain::Boolean,
            Plain::IntOrString,
            Plain::Quantity,
            Plain::Time,
            Plain::MicroTime,
            Plain::Any,
        ];
        Ok(match self.short()? {
            11 => RawShape::SchemaOr(SchemaOr::Array, self.short()?),
            12 => RawShape::SchemaOr(SchemaOr::Bool, self.short()?),
            13 => RawShape::SchemaOr(SchemaOr::Strings, self.short()?),
            14 => RawShape::Object(self.short()?),
            15 => RawShape::List(self.short()?),
            16 => RawShape::Map(self.short()?),
            tag => RawShape::Plain(*PLAIN.get(usize::from(tag)).ok_or(SchemaError::Broken("an unknown shape"))?),
        })
    }

    fn object(&mut self, fields: &mut Vec<FieldRow>, keys: &mut Vec<u16>) -> Unpacked<TypeRow> {
        let (name, flags, field_count) = (self.symbol()?, self.short()?, self.short()?);
        let first_field = u32::try_from(fields.len()).map_err(|_| SchemaError::Broken("too many fields"))?;
        for _ in 0..field_count {
            let (name, shape, number, flags) = (self.symbol()?, self.short()?, self.short()?, self.short()?);
            let merge_key = if flags & flag::MERGE_KEY != 0 { self.symbol()? } else { 0 };
            let first_key = u16::try_from(keys.len()).map_err(|_| SchemaError::Broken("too many keys"))?;
            let key_count = if flags & flag::LIST_MAP != 0 { self.short()? } else { 0 };
            for _ in 0..key_count {
                keys.push(self.symbol()?);
            }
            fields.push(FieldRow { name, shape, number, flags, merge_key, first_key, key_count });
        }
        Ok(TypeRow { name, flags, first_field, field_count })
    }
}
