//! The table of kinds: one row each, from which routes, discovery, printing and validation follow. Pure.
mod age;
mod builtin;
mod canonical;
mod column;
mod config_map;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
mod field;
mod ingress;
mod kind;
mod lease;
mod namespace;
mod node;
pub mod object_meta;
mod pod;
mod pod_spec;
mod pod_template;
mod priority_class;
mod replica_set;
mod rules;
mod runtime_class;
mod schema;
mod secret;
mod selector;
mod service;
mod table;
#[cfg(test)]
mod trial;

pub use age::human_duration;
pub use builtin::builtin;
pub use kind::{Cell, Column, Kind, Stored, Sub};
pub use object_meta::Naming;
pub use rules::{Draft, Plain, Rules, Strategy, Typed};
pub use schema::schema;
pub use table::Table;
