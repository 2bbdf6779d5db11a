//! `meta.k8s.io/v1` Table and PartialObjectMetadata: objects as `kubectl get` asks for them.
use crate::Status;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

const API_VERSION: &str = "meta.k8s.io/v1";

/// What of its object each row carries: `?includeObject=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// One entry of `columnDefinitions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDefinition<'a> {
    pub name: &'a str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// `name` for the column that names the object, else empty.
    pub format: &'a str,
    pub description: &'a str,
    /// 0 is always shown, 1 by `-o wide`.
    pub priority: i32,
}

/// One object: its cells, and its bytes as the shelf keeps them.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    pub cells: Vec<Value>,
    pub object: &'a [u8],
}

/// The `metadata` of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMeta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// A Table's JSON. `columns` is None for all but the first event of a watch. Objects are copied, not decoded.
pub fn assemble(columns: Option<&[ColumnDefinition]>, rows: &[Row], include: Include, list: &ListMeta) -> Result<Vec<u8>, Status> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Table<'a> {
        kind: &'a str,
        api_version: &'a str,
        metadata: &'a ListMeta,
        column_definitions: Option<&'a [ColumnDefinition<'a>]>,
        rows: Vec<WireRow<'a>>,
    }
    #[derive(Serialize)]
    struct WireRow<'a> {
        cells: &'a [Value],
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<Included<'a>>,
    }
    let rows = rows
        .iter()
        .map(|row| Ok(WireRow { cells: &row.cells, object: include_object(row.object, include)? }))
        .collect::<Result<_, Status>>()?;
    encode(&Table { kind: "Table", api_version: API_VERSION, metadata: list, column_definitions: columns, rows })
}

/// The PartialObjectMetadata of an object.
pub fn partial(object: &[u8]) -> Result<Vec<u8>, Status> {
    encode(&metadata_of(object)?)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Included<'a> {
    Whole(&'a RawValue),
    Partial(Partial<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Partial<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: &'a RawValue,
}

fn include_object(object: &[u8], include: Include) -> Result<Option<Included<'_>>, Status> {
    Ok(match include {
        Include::None => None,
        Include::Metadata => Some(Included::Partial(metadata_of(object)?)),
        Include::Object => Some(Included::Whole(serde_json::from_slice(object).map_err(Status::internal)?)),
    })
}

fn metadata_of(object: &[u8]) -> Result<Partial<'_>, Status> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let Object { metadata } = serde_json::from_slice(object).map_err(Status::internal)?;
    Ok(Partial { kind: "PartialObjectMetadata", api_version: API_VERSION, metadata })
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(body).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const POD: &[u8] = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"1"},"spec":{"big":12345678901234567890}}"#;
    const NAME: ColumnDefinition = ColumnDefinition { name: "Name", kind: "string", format: "name", description: "d", priority: 0 };

    #[track_caller]
    fn check(include: Include, object: Value) {
        let row = Row { cells: vec![json!("a"), json!(3)], object: POD };
        let list = ListMeta { resource_version: "7".into(), ..ListMeta::default() };
        let body = assemble(Some(&[NAME]), &[row], include, &list).unwrap();
        let column = json!({"name": "Name", "type": "string", "format": "name", "description": "d", "priority": 0});
        let mut expected = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"}, "columnDefinitions": [column], "rows": [{"cells": ["a", 3]}]});
        if !object.is_null() {
            expected["rows"][0]["object"] = object;
        }
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn rows_carry_what_was_asked_for() {
        check(Include::None, Value::Null);
        check(
            Include::Metadata,
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a", "uid": "1"}}),
        );
        check(Include::Object, serde_json::from_slice(POD).unwrap());
    }

    #[test]
    fn an_empty_table_has_rows_and_a_later_event_no_columns() {
        let body = assemble(None, &[], Include::Metadata, &ListMeta::default()).unwrap();
        assert_eq!(body, br#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":null,"rows":[]}"#);
    }

    #[test]
    fn only_three_words_are_known() {
        assert_eq!(Include::parse("").unwrap(), Include::Metadata);
        let said = "Unable to convert to Table as requested: includeObject: Invalid value: \"Nope\": must be 'Metadata', 'Object', 'None', or empty";
        assert_eq!(Include::parse("Nope").unwrap_err().message, said);
    }

    #[test]
    fn partial_metadata_is_cut_from_the_bytes() {
        assert_eq!(
            partial(POD).unwrap(),
            br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","uid":"1"}}"#
        );
        assert_eq!(partial(b"{}").unwrap_err().code, 500);
    }
}
