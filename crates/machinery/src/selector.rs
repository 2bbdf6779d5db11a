//! The selectors of `?labelSelector=` and `?fieldSelector=`.
mod fields;
mod labels;

pub use fields::{Fields, Term};
pub use labels::{Labels, Operator, Requirement};
