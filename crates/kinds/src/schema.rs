//! The structural schema of the built-in kinds, unpacked once.
use knarr_machinery::schema::Schema;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::unpack(include_bytes!("schema.bin")).expect("the committed schema is tested to unpack"));

pub fn schema() -> &'static Schema {
    &SCHEMA
}
