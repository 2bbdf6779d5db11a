//! `/openapi/v3`: an index, and one document per group and version. Pure; paths follow from the table, shapes from the schema.
//!
//! Clients look here for three things: whether the server validates fields (the `fieldValidation` parameter of a kind's `patch`), which kinds
//! take a strategic merge patch, and what fields there are.
pub mod v2;

use crate::discovery;
use knarr_kinds::{Kind, Sub, Table};
use knarr_machinery::schema::{Field, Item, ListKind, Plain, Schema, Shape, Type};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const PATCH_TYPES: &[&str] = &["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];
const BODY_TYPES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The documents, each by its path below `/openapi/v3/`. `hash` is that of the whole table: documents change only with it.
pub fn index(kinds: &Table) -> Value {
    let mut paths = Map::new();
    for row in kinds.rows() {
        let path = document_path(&row.group, &row.version);
        let hash = Sha256::digest(format!("{path} {}", crate::version::GIT_VERSION));
        let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
    }
    json!({"paths": paths})
}

fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// One document; None for a path that the index does not have.
pub fn document(kinds: &Table, schema: &Schema, path: &str) -> Option<Value> {
    let (group, version) = match path.trim_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    let rows: Vec<_> = kinds.rows().iter().filter(|row| row.group == group && row.version == version).collect();
    if rows.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    let mut types = BTreeMap::new();
    for row in &rows {
        add_paths(&mut paths, row);
        if let Some(found) = schema.kind(&row.api_version(), &row.kind) {
            collect(found, &mut types);
        }
    }
    let mut schemas: Map<String, Value> = types.into_iter().map(|(name, found)| (name.to_owned(), object(found))).collect();
    for row in &rows {
        if let Some(found) = schema.kind(&row.api_version(), &row.kind) {
            schemas[found.name()]["x-kubernetes-group-version-kind"] = json!([group_version_kind(row)]);
        }
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::version::GIT_VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn group_version_kind(row: &Kind) -> Value {
    json!({"group": row.group, "version": row.version, "kind": row.kind})
}

fn add_paths(paths: &mut Map<String, Value>, row: &Kind) {
    let root = document_path(&row.group, &row.version);
    let place = if row.namespaced { format!("/{root}/namespaces/{{namespace}}/{}", row.plural) } else { format!("/{root}/{}", row.plural) };
    let mut collection = Map::new();
    let mut one = Map::new();
    for verb in discovery::verbs(row) {
        let (at, method) = match verb {
            "create" => (&mut collection, "post"),
            "list" => (&mut collection, "get"),
            "deletecollection" => (&mut collection, "delete"),
            "get" => (&mut one, "get"),
            "update" => (&mut one, "put"),
            "patch" => (&mut one, "patch"),
            "delete" => (&mut one, "delete"),
            _ => continue,
        };
        at.insert(method.into(), operation(row, verb, row.namespaced));
    }
    if row.namespaced && collection.contains_key("get") {
        paths.insert(format!("/{root}/{}", row.plural), json!({"get": operation(row, "list", false)}));
    }
    paths.insert(place.clone(), collection.into());
    if !one.is_empty() {
        paths.insert(format!("{place}/{{name}}"), one.into());
    }
    if row.has(Sub::Status) {
        let status = json!({"get": operation(row, "get", row.namespaced), "put": operation(row, "update", row.namespaced), "patch": operation(row, "patch", row.namespaced)});
        paths.insert(format!("{place}/{{name}}/status"), status);
    }
}

fn operation(row: &Kind, verb: &str, in_namespace: bool) -> Value {
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let query: &[&str] = match verb {
        "create" | "update" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "list" | "deletecollection" => {
            &["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "watch"]
        }
        _ => &[],
    };
    let parameter = |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let mut parameters: Vec<_> = query.iter().map(parameter).collect();
    let in_path = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    if in_namespace {
        parameters.push(in_path("namespace"));
    }
    if !matches!(verb, "create" | "list" | "deletecollection") {
        parameters.push(in_path("name"));
    }
    let mut operation = json!({
        "operationId": format!("{verb}{}{}{}", if in_namespace { "Namespaced" } else { "" }, row.kind, row.version),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": group_version_kind(row),
    });
    let takes = match verb {
        "create" | "update" => BODY_TYPES,
        "patch" => PATCH_TYPES,
        _ => return operation,
    };
    let content: Map<String, Value> = takes.iter().map(|media| ((*media).to_owned(), json!({"schema": {"type": "object"}}))).collect();
    operation["requestBody"] = json!({"content": content, "required": true});
    operation
}

/// A type and all that it is made of.
fn collect<'s>(found: Type<'s>, types: &mut BTreeMap<&'s str, Type<'s>>) {
    let mut rest = vec![found];
    while let Some(found) = rest.pop() {
        if types.insert(found.name(), found).is_none() {
            rest.extend(found.fields().filter_map(|field| inner(field.shape())));
        }
    }
}

fn inner(mut shape: Shape<'_>) -> Option<Type<'_>> {
    loop {
        match shape {
            Shape::Object(found) | Shape::SchemaOr(_, found) => return Some(found),
            Shape::List(item) | Shape::Map(item) => shape = Item::shape(item),
            Shape::Plain(_) => return None,
        }
    }
}

fn object(found: Type<'_>) -> Value {
    let mut properties = Map::new();
    for field in found.fields() {
        properties.insert(field.name().into(), property(field));
    }
    let required: Vec<_> = found.fields().filter(|field| field.is_required()).map(Field::name).collect();
    let mut schema = json!({"type": "object"});
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if found.is_atomic() {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    schema
}

fn property(field: Field<'_>) -> Value {
    let mut schema = shaped(field.shape());
    if matches!(field.shape(), Shape::List(_)) {
        let keys: Vec<_> = field.map_keys().collect();
        schema["x-kubernetes-list-type"] = json!(match field.list_kind() {
            ListKind::Atomic => "atomic",
            ListKind::Set => "set",
            ListKind::Map => "map",
        });
        if !keys.is_empty() {
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    let strategy = patch_strategy(field);
    if !strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = json!(strategy);
    }
    if let Some(key) = field.merge_key() {
        schema["x-kubernetes-patch-merge-key"] = json!(key);
    }
    schema
}

/// What `kubectl apply` and strategic merge patches do with a field; empty where it is simply replaced.
fn patch_strategy(field: Field<'_>) -> String {
    let both = [(field.merges(), "merge"), (field.retains_keys(), "retainKeys")];
    both.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

fn shaped(shape: Shape<'_>) -> Value {
    match shape {
        // A reference stands alone in OpenAPI 3.0; what is said beside it needs `allOf`.
        Shape::Object(found) | Shape::SchemaOr(_, found) => json!({"allOf": [{"$ref": format!("#/components/schemas/{}", found.name())}]}),
        Shape::List(item) => json!({"type": "array", "items": shaped(item.shape())}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": shaped(item.shape())}),
        Shape::Plain(plain) => match plain {
            Plain::String => json!({"type": "string"}),
            Plain::Bytes => json!({"type": "string", "format": "byte"}),
            Plain::Int32 => json!({"type": "integer", "format": "int32"}),
            Plain::Int64 => json!({"type": "integer", "format": "int64"}),
            Plain::Number => json!({"type": "number", "format": "double"}),
            Plain::Boolean => json!({"type": "boolean"}),
            Plain::IntOrString => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            Plain::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            Plain::Time => json!({"type": "string", "format": "date-time"}),
            Plain::MicroTime => json!({"type": "string", "format": "date-time"}),
            Plain::Any => json!({"type": "object"}),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_that_its_fields_are_validated() {
        let kinds = Table::new(knarr_kinds::builtin());
        let index = index(&kinds);
        for row in kinds.rows().iter().filter(|row| !row.ephemeral) {
            let path = document_path(&row.group, &row.version);
            assert!(index["paths"][&path]["serverRelativeURL"].is_string());
            let document = document(&kinds, knarr_kinds::schema(), &path).unwrap();
            let patches = document["paths"].as_object().unwrap().values().filter_map(|item| item.get("patch"));
            let own: Vec<_> = patches.filter(|patch| patch["x-kubernetes-group-version-kind"]["kind"] == *row.kind).collect();
            assert!(!own.is_empty(), "{}", row.kind);
            for patch in own {
                assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"), "{}", row.kind);
                assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
            }
        }
    }

    #[test]
    fn shapes_carry_how_they_are_merged() {
        let kinds = Table::new(knarr_kinds::builtin());
        let document = document(&kinds, knarr_kinds::schema(), "api/v1").unwrap();
        let schemas = &document["components"]["schemas"];
        assert_eq!(
            schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
            json!([{"group": "", "version": "v1", "kind": "Pod"}])
        );
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!((&containers["x-kubernetes-patch-merge-key"], &containers["x-kubernetes-list-type"]), (&json!("name"), &json!("map")));
        let text = document.to_string();
        for found in text.split("#/components/schemas/").skip(1) {
            let name = found.split('"').next().unwrap();
            assert!(schemas.get(name).is_some(), "{name} is referred to and not there");
        }
    }

    #[test]
    fn only_what_the_index_has_is_there() {
        let kinds = Table::new(knarr_kinds::builtin());
        for path in ["api/v2", "apis/apps", "apis/none/v1", "version"] {
            assert!(document(&kinds, knarr_kinds::schema(), path).is_none(), "{path}");
        }
    }
}
