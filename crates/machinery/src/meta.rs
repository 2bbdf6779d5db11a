//! The part of an object's metadata that loops, the shelf and the garbage collector read.
use crate::Key;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A slim `ObjectMeta`: read out of an object's JSON, never written back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    pub generation: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<Box<str>, Box<str>>,
    #[serde(deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    #[serde(deserialize_with = "null_as_default")]
    pub owner_references: Vec<Owner>,
    #[serde(deserialize_with = "null_as_default")]
    pub finalizers: Vec<Box<str>>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
}

/// One owner reference.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    pub api_version: Box<str>,
    pub kind: Box<str>,
    pub name: Box<str>,
    pub uid: Box<str>,
    pub controller: bool,
    pub block_owner_deletion: bool,
}

impl Meta {
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Deletion has begun: a grace period or finalizers hold the object.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The one owner that manages this object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// Clients write `null` where they mean nothing.
fn null_as_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
