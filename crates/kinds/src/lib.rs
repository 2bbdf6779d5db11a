//! The table of kinds: one row each, from which routes, discovery, printing and validation follow. Pure.
mod builtin;
mod kind;
mod rules;
mod table;

pub use builtin::builtin;
pub use kind::{Cell, Column, Kind, Sub};
pub use rules::{Draft, Plain, Rules, Strategy, Typed};
pub use table::Table;
