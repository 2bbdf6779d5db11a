//! Writes the packed file that `knarr_machinery::schema` describes and reads.
use super::definitions::{Field, Shape, Table};
use anyhow::Context as _;
use std::{collections::BTreeMap, io::Write as _};

/// The file before deflating.
pub fn plain(table: &Table) -> anyhow::Result<Vec<u8>> {
    let mut names: Vec<&str> = vec![];
    for object in &table.types {
        names.push(&object.name);
        for field in &object.fields {
            names.push(&field.name);
            names.extend(field.merge_key.as_deref());
            names.extend(field.map_keys.iter().map(String::as_str));
        }
    }
    names.extend(table.kinds.iter().flat_map(|(api_version, kind, _)| [api_version.as_str(), kind.as_str()]));
    names.sort_unstable();
    names.dedup();
    let symbols = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut writer = Writer { bytes: b"knarr-schema-1".to_vec(), symbols };
    writer.number(names.len())?;
    for name in &names {
        writer.number(name.len())?;
        writer.bytes.extend(name.as_bytes());
    }
    writer.number(table.shapes.len())?;
    for shape in &table.shapes {
        writer.shape(*shape)?;
    }
    writer.number(table.types.len())?;
    for object in &table.types {
        writer.symbol(&object.name)?;
        writer.number(object.flags)?;
        writer.number(object.fields.len())?;
        for field in &object.fields {
            writer.field(field)?;
        }
    }
    writer.number(table.kinds.len())?;
    for (api_version, kind, object) in &table.kinds {
        writer.symbol(api_version)?;
        writer.symbol(kind)?;
        writer.number(*object)?;
    }
    Ok(writer.bytes)
}

pub fn deflated(plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

struct Writer<'n> {
    bytes: Vec<u8>,
    symbols: BTreeMap<&'n str, usize>,
}

impl Writer<'_> {
    fn number(&mut self, number: impl TryInto<u32>) -> anyhow::Result<()> {
        let mut rest: u32 = number.try_into().ok().context("a number too large for the packed file")?;
        while rest >= 0x80 {
            self.bytes.push(u8::try_from(rest & 0x7f)? | 0x80);
            rest >>= 7;
        }
        self.bytes.push(u8::try_from(rest)?);
        Ok(())
    }

    fn symbol(&mut self, name: &str) -> anyhow::Result<()> {
        self.number(*self.symbols.get(name).context("every name was collected")?)
    }

    fn shape(&mut self, shape: Shape) -> anyhow::Result<()> {
        self.number(shape.tag())?;
        if let Some(position) = shape.position() { self.number(position) } else { Ok(()) }
    }

    fn field(&mut self, field: &Field) -> anyhow::Result<()> {
        self.symbol(&field.name)?;
        self.number(field.shape)?;
        self.number(field.number)?;
        self.number(field.flags)?;
        if let Some(key) = &field.merge_key {
            self.symbol(key)?;
        }
        if field.is_map_list() {
            self.number(field.map_keys.len())?;
            for key in &field.map_keys {
                self.symbol(key)?;
            }
        }
        Ok(())
    }
}
