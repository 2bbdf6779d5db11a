//! Patches: from an object and a patch to the patched object. Depth is bounded by the reader that made the values.
mod json;
mod merge;

pub use json::{apply as json, unknown_members};
pub use merge::apply as merge;
