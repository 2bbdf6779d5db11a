//! ConfigMap: at most 1 MiB, keys that can be file names, and no change once immutable.
use crate::{
    Kind, Strategy,
    column::entries,
    field::{self, Wrong},
};
use k8s_openapi::api::core::v1::ConfigMap;
use knarr_machinery::{FieldError, names};
use std::collections::BTreeMap;

/// Of all values together; Secrets have the same limit.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

#[derive(Clone)]
pub(crate) struct ConfigMaps;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column().column("Data", "string", |o, _| (entries(o, "/data") + entries(o, "/binaryData")).into()).age_column()
}

impl Strategy for ConfigMaps {
    type Object = ConfigMap;

    fn check(&self, new: &ConfigMap, old: Option<&ConfigMap>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let mut bytes = 0;
        for (key, value) in new.data.iter().flatten() {
            field::named(&mut wrong, &format!("data[{key}]"), key, names::is_config_map_key);
            if new.binary_data.as_ref().is_some_and(|data| data.contains_key(key)) {
                let detail = "duplicate of key present in binaryData";
                wrong.push(FieldError::invalid(format!("data[{key}]"), &**key, detail));
            }
            bytes += value.len();
        }
        for (key, value) in new.binary_data.iter().flatten() {
            field::named(&mut wrong, &format!("binaryData[{key}]"), key, names::is_config_map_key);
            bytes += value.0.len();
        }
        if bytes > MAX_BYTES {
            field::too_long(&mut wrong, "[]", MAX_BYTES);
        }
        if let Some(old) = old.filter(|old| old.immutable == Some(true)) {
            keep(&mut wrong, "immutable", new.immutable == Some(true));
            keep(&mut wrong, "data", some(&new.data) == some(&old.data));
            keep(&mut wrong, "binaryData", some(&new.binary_data) == some(&old.binary_data));
        }
        wrong
    }
}

/// An empty map says no more than none.
pub(crate) fn some<K, V>(map: &Option<BTreeMap<K, V>>) -> Option<&BTreeMap<K, V>> {
    map.as_ref().filter(|map| !map.is_empty())
}

/// A part of an object that said of itself that it will not change.
pub(crate) fn keep(wrong: &mut Wrong, path: &str, same: bool) {
    if !same {
        wrong.push(FieldError::forbidden(path, "field is immutable when `immutable` is set"));
    }
}
