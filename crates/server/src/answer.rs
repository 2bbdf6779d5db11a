//! How an answer looks: what the client accepts, and objects, lists and tables in that form. Pure; objects are copied, not decoded, but for
//! the cells of tables.
use crate::splice;
use bytes::Bytes;
use jiff::Timestamp;
use knarr_cluster::Entry;
use knarr_kinds::Kind;
use knarr_machinery::{
    Reason, Status,
    table::{self, ColumnDefinition, Include, ListMeta, Row},
};
use serde_json::Value;
use std::sync::Arc;

/// What of an object goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Object,
    Table(Include),
    Partial,
}

/// In which notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    Json,
    Yaml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub form: Form,
    pub notation: Notation,
}

/// The first of what the client accepts that can be served. A wildcard, or nothing, is JSON.
pub fn accepted(accept: &str, include_object: &str) -> Result<Accepted, Status> {
    if accept.trim().is_empty() {
        return Ok(Accepted { form: Form::Object, notation: Notation::Json });
    }
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let notation = match parts.next().unwrap_or_default() {
            "application/json" | "*/*" | "application/*" => Notation::Json,
            "application/yaml" => Notation::Yaml,
            _ => continue,
        };
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let get = |name: &str| parameters.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let form = match (get("as"), get("g"), get("v")) {
            (None, ..) => Form::Object,
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Form::Table(Include::parse(include_object)?),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1")) => Form::Partial,
            _ => continue,
        };
        return Ok(Accepted { form, notation });
    }
    let message = "only the following media types are accepted: application/json, application/yaml";
    Err(Status::new(406, Reason::NotAcceptable, message))
}

/// A stored object as its row serves it.
pub fn served(kind: &Kind, stored: Bytes) -> Result<Bytes, Status> {
    if kind.stored.is_none() {
        return Ok(stored);
    }
    let value: Value = serde_json::from_slice(&stored).map_err(Status::internal)?;
    serde_json::to_vec(&kind.to_served(value)).map(Into::into).map_err(Status::internal)
}

/// One object, in the served version.
pub fn object(kind: &Kind, object: &Bytes, form: Form, now: Timestamp) -> Result<Bytes, Status> {
    match form {
        Form::Object => Ok(object.clone()),
        Form::Partial => table::partial(object).map(Into::into),
        Form::Table(include) => {
            let version = serde_json::from_slice::<Value>(object).map_err(Status::internal)?["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let meta = ListMeta { resource_version: version, ..ListMeta::default() };
            rows(kind, std::slice::from_ref(object), include, &meta, Header::Shown, now)
        }
    }
}

/// A list of a kind.
pub fn list(kind: &Kind, entries: &[Arc<Entry>], meta: &ListMeta, form: Form, now: Timestamp) -> Result<Bytes, Status> {
    let objects = entries.iter().map(|entry| served(kind, entry.bytes.clone())).collect::<Result<Vec<_>, _>>()?;
    match form {
        Form::Table(include) => rows(kind, &objects, include, meta, Header::Shown, now),
        Form::Partial => {
            let items = objects.iter().map(|object| table::partial(object)).collect::<Result<Vec<_>, _>>()?;
            join("PartialObjectMetadataList", "meta.k8s.io/v1", meta, items.iter().map(|item| (&b""[..], item.as_slice())))
        }
        Form::Object => {
            let api_version = kind.api_version();
            let items = objects.iter().map(|object| splice::as_item(object, &api_version, &kind.kind));
            join(&format!("{}List", kind.kind), &api_version, meta, items)
        }
    }
}

fn join<'a>(kind: &str, api_version: &str, meta: &ListMeta, items: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Bytes, Status> {
    let metadata = serde_json::to_string(meta).map_err(Status::internal)?;
    let mut text = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{metadata},"items":["#).into_bytes();
    for (at, (head, rest)) in items.enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(head);
        text.extend_from_slice(rest);
    }
    text.extend_from_slice(b"]}");
    Ok(text.into())
}

/// Whether a table says its columns: not again in later events of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    Shown,
    Hidden,
}

/// Objects in the served version as a Table.
pub fn rows(kind: &Kind, objects: &[Bytes], include: Include, meta: &ListMeta, header: Header, now: Timestamp) -> Result<Bytes, Status> {
    let rows = objects.iter().map(|object| Ok(Row { cells: cells(kind, object, now)?, object })).collect::<Result<Vec<_>, Status>>()?;
    let columns = columns(kind);
    table::assemble((header == Header::Shown).then_some(&columns), &rows, include, meta).map(Into::into)
}

/// A kind without columns of its own shows name and birth.
fn columns(kind: &Kind) -> Vec<ColumnDefinition<'_>> {
    if kind.columns.is_empty() {
        let name = ColumnDefinition {
            name: "Name",
            kind: "string",
            format: "name",
            description: "The object's name, unique in its namespace.",
            priority: 0,
        };
        let created =
            ColumnDefinition { name: "Created At", kind: "date", format: "", description: "When the object was made.", priority: 0 };
        return vec![name, created];
    }
    let columns = kind.columns.iter();
    columns
        .map(|column| ColumnDefinition {
            name: &column.name,
            kind: column.kind,
            format: column.format,
            description: &column.description,
            priority: i32::from(column.wide),
        })
        .collect()
}

fn cells(kind: &Kind, object: &[u8], now: Timestamp) -> Result<Vec<Value>, Status> {
    let object: Value = serde_json::from_slice(object).map_err(Status::internal)?;
    if kind.columns.is_empty() {
        let metadata = &object["metadata"];
        return Ok(vec![metadata["name"].clone(), metadata["creationTimestamp"].clone()]);
    }
    let object = kind.to_stored(object);
    Ok(kind.columns.iter().map(|column| (column.cell)(&object, now)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_machinery::Revision;
    use serde_json::json;

    #[test]
    fn the_first_form_that_can_be_served_is_taken() {
        let check = |accept: &str, expected: Option<Form>| assert_eq!(accepted(accept, "").ok().map(|a| a.form), expected, "{accept}");
        let table = Form::Table(Include::Metadata);
        check("", Some(Form::Object));
        check("*/*", Some(Form::Object));
        check("application/vnd.kubernetes.protobuf, application/json", Some(Form::Object));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(table),
        );
        check("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Some(Form::Object));
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Form::Partial));
        check("application/vnd.kubernetes.protobuf", None);
        check("text/html", None);
    }

    #[test]
    fn a_list_keeps_the_bytes() {
        let kind = Kind::of::<k8s_openapi::api::core::v1::ConfigMap>();
        let bytes = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"big":"1.0"}}"#;
        let entries = [Arc::new(Entry::read(Revision(3), bytes.into()).unwrap())];
        let meta = ListMeta { resource_version: "7".into(), ..ListMeta::default() };
        let text = list(&kind, &entries, &meta, Form::Object, Timestamp::UNIX_EPOCH).unwrap();
        let expected = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"},"data":{"big":"1.0"}}]}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_has_cells_and_what_is_included() {
        let kind = Kind::of::<k8s_openapi::api::core::v1::ConfigMap>().column("Name", "string", |o, _| o["metadata"]["name"].clone()).wide(
            "Keys",
            "integer",
            |o, _| json!(o["data"].as_object().map_or(0, |d| d.len())),
        );
        let bytes = Bytes::from(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"3"},"data":{"k":"v"}}"#);
        let text = object(&kind, &bytes, Form::Table(Include::None), Timestamp::UNIX_EPOCH).unwrap();
        let table: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&table["rows"], &table["metadata"]["resourceVersion"]), (&json!([{"cells": ["a", 1]}]), &json!("3")));
        assert_eq!((&table["columnDefinitions"][0]["format"], &table["columnDefinitions"][1]["priority"]), (&json!("name"), &json!(1)));
    }
}
