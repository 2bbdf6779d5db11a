//! A component from text: a core module in WAT and the WIT that it speaks. For the demo and for test fixtures, which need no Wasm toolchain.
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What is wrong with the text, in the words of the tool that read it.
#[derive(Debug, thiserror::Error)]
#[error("cannot build a component from text: {0}")]
pub struct TextError(String);

/// Builds a component out of a core module against mangled names and a WIT package whose only world it implements.
pub fn component(wat: &str, wit: &str) -> Result<Vec<u8>, TextError> {
    let said = |error: &dyn std::fmt::Display| TextError(format!("{error:#}"));
    let mut module = wat::parse_str(wat).map_err(|e| said(&e))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("guest.wit", wit).map_err(|e| said(&e))?;
    let world = resolve.select_world(&[package], None).map_err(|e| said(&e))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|e| said(&e))?;
    ComponentEncoder::default().validate(true).module(&module).and_then(|mut encoder| encoder.encode()).map_err(|e| said(&e))
}
