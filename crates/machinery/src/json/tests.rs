use super::*;
use crate::schema::tests::shipped;
use serde_json::json;

#[track_caller]
fn check(kind: &str, body: &str, expected: Result<(Value, &[&str]), &str>) {
    let schema = shipped();
    let (_, _, object) = schema.kinds().find(|(_, k, _)| *k == kind).unwrap();
    let read = read_as(body.as_bytes(), object).map(|(value, odd)| (value, odd.iter().map(ToString::to_string).collect::<Vec<_>>()));
    match (read, expected) {
        (Ok((value, odd)), Ok((wanted, words))) => {
            assert_eq!((value, odd), (wanted, words.iter().map(ToString::to_string).collect()), "{body}")
        }
        (Err(error), Err(words)) => assert_eq!(error.to_string(), words, "{body}"),
        (read, _) => panic!("{body}: {read:?}"),
    }
}

#[test]
fn notes_what_is_unknown_or_said_twice_in_the_order_of_the_text() {
    check(
        "Deployment",
        r#"{"spec":{"replica":3,"template":{"spec":{"containers":[{"name":"c","imagepullpolicy":"Always","env":[{"name":"A","vaule":"x"}]}]}}},"status":{}}"#,
        Ok((
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}]}}}, "status": {}}),
            &[
                r#"unknown field "spec.replica""#,
                r#"unknown field "spec.template.spec.containers[0].imagepullpolicy""#,
                r#"unknown field "spec.template.spec.containers[0].env[0].vaule""#,
            ],
        )),
    );
    check(
        "ConfigMap",
        r#"{"metadata":{"name":"a","nope":[{"deep":{}}]},"data":{"k":"1","k":"2"},"immutable":false,"immutable":true}"#,
        Ok((
            json!({"metadata": {"name": "a"}, "data": {"k": "2"}, "immutable": true}),
            &[r#"unknown field "metadata.nope""#, r#"duplicate field "data.k""#, r#"duplicate field "immutable""#],
        )),
    );
}

#[test]
fn case_matters_and_null_is_absence() {
    check("ConfigMap", r#"{"Data":{"k":"v"}}"#, Ok((json!({}), &[r#"unknown field "Data""#])));
    check(
        "ConfigMap",
        r#"{"data":{"k":null},"metadata":{"creationTimestamp":null,"labels":null}}"#,
        Ok((json!({"data": {"k": ""}, "metadata": {}}), &[])),
    );
    check("Pod", r#"{"spec":{"containers":[null],"volumes":null}}"#, Ok((json!({"spec": {"containers": [{}]}}), &[])));
}

#[test]
fn quantities_and_times_become_canonical() {
    check(
        "Pod",
        r#"{"metadata":{"creationTimestamp":"2020-01-02T03:04:05.6+01:00"},"spec":{"overhead":{"cpu":"1000m","memory":2048}}}"#,
        Ok((json!({"metadata": {"creationTimestamp": "2020-01-02T02:04:05Z"}, "spec": {"overhead": {"cpu": "1", "memory": "2048"}}}), &[])),
    );
    check(
        "Lease",
        r#"{"spec":{"renewTime":"2020-01-02T03:04:05.100000Z"}}"#,
        Ok((json!({"spec": {"renewTime": "2020-01-02T03:04:05.100000Z"}}), &[])),
    );
}

/// The words of the real server.
#[test]
fn wrong_types_are_told_with_their_place() {
    for (kind, body, words) in [
        (
            "ConfigMap",
            r#"{"metadata":{"name":1}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        ("ConfigMap", r#"{"metadata":[]}"#, "json: cannot unmarshal array into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
        ("ConfigMap", r#"{"data":{"k":1}}"#, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("ConfigMap", r#"{"data":["k"]}"#, "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        ("ConfigMap", r#"{"immutable":"true"}"#, "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
        (
            "ConfigMap",
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "ConfigMap",
            r#"{"metadata":{"generation":"1"}}"#,
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.generation of type int64",
        ),
        (
            "ConfigMap",
            r#"{"metadata":{"creationTimestamp":"yesterday"}}"#,
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
        ),
        ("ConfigMap", r#"{"apiVersion":1}"#, "json: cannot unmarshal number into Go struct field .apiVersion of type string"),
        (
            "ConfigMap",
            "[]",
            r#"json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#,
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":10.0}}"#,
            "json: cannot unmarshal number 10.0 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            r#"{"spec":{"replicas":1e1}}"#,
            "json: cannot unmarshal number 1e1 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        ("Secret", r#"{"data":{"k":"***"}}"#, "illegal base64 data at input byte 0"),
        (
            "Pod",
            r#"{"spec":{"overhead":{"cpu":"lots"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "Lease",
            r#"{"spec":{"renewTime":"2020-01-02T03:04:05Z"}}"#,
            r#"parsing time "2020-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
        ),
    ] {
        check(kind, body, Err(words));
    }
}

#[test]
fn broken_syntax_is_told_in_kubernetes_words() {
    for (body, words) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("noll", "invalid character 'o' in literal null (expecting 'u')"),
        ("{,}", "invalid character ',' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("-", "unexpected end of JSON input"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        (r#""\x""#, "invalid character 'x' in string escape code"),
        (r#""\u00g0""#, "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"a\nb\"", "invalid character '\\n' in string literal"),
        ("'a'", r"invalid character '\'' looking for beginning of value"),
    ] {
        assert_eq!(read(body.as_bytes()), Err(JsonError::Syntax(words.into())), "{body}");
    }
}

#[test]
fn nesting_is_bounded_and_the_unknown_is_not_built() {
    let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    check("ConfigMap", &format!(r#"{{"x":{}}}"#, nested(9000)), Ok((json!({}), &[r#"unknown field "x""#])));
    check("ConfigMap", &format!(r#"{{"x":{}"#, "[".repeat(20_000)), Err("invalid character '[' exceeded max depth"));
    assert_eq!(depth(&read(nested(MAX_DEPTH).as_bytes()).unwrap()), MAX_DEPTH);
    assert_eq!(read(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().to_string(), "invalid character '[' exceeded max depth");
}

#[test]
fn oddities_are_bounded() {
    let body = format!("{{{}}}", (0..500).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(","));
    let schema = shipped();
    assert_eq!(read_as(body.as_bytes(), schema.kind("v1", "Pod").unwrap()).unwrap().1.len(), MAX_ODDITIES);
}

#[test]
fn reads_what_serde_reads() {
    for body in [
        "null",
        " [ 1 , -2.5e3 , true , false , null , \"\" ] ",
        r#"{"a":{"b":[{}]},"c":"\u00e4\ud83d\ude00\n\/"}"#,
        "18446744073709551615",
        "9007199254740993",
        "0.1",
        "123456789012345678901234567890",
    ] {
        assert_eq!(read(body.as_bytes()).unwrap(), serde_json::from_str::<Value>(body).unwrap(), "{body}");
    }
    assert_eq!(read(b"\"\xff\"").unwrap(), json!("\u{fffd}"));
    assert_eq!(read(br#""\ud800x""#).unwrap(), json!("\u{fffd}x"));
}

/// Every prefix and every bent byte of a real body: any answer but a panic.
#[test]
fn never_panics() {
    let schema = shipped();
    let pod = schema.kind("v1", "Pod").unwrap();
    let body = "{\"metadata\":{\"name\":\"ä\\u00e4\",\"creationTimestamp\":\"2020-01-02T03:04:05Z\"},\"spec\":{\"overhead\":{\"cpu\":\"1.5e3\"},\"containers\":[{\"ports\":[{\"containerPort\":80}]}]}}".as_bytes();
    for at in 0..body.len() {
        let _prefix = read_as(&body[..at], pod);
        for bent in [b'"', b'{', b']', b'\\', 0xff, b'0', b'n'] {
            let mut bytes = body.to_vec();
            bytes[at] = bent;
            let _bent = read_as(&bytes, pod);
        }
    }
}
