//! Containers' logs: files of CRI lines that runtimes write, one a container and attempt, each rotated once.
mod line;
mod read;
mod rotation;

pub(crate) use read::{Query, open, stream};
pub(crate) use rotation::rotate;
