use super::*;
use crate::schema::tests::shipped;
use serde_json::json;

/// What kubectl 1.33 posted for some commands, each with the object that the same command printed as JSON.
const KUBECTL: &str = include_str!("kubectl.txt");

fn captured() -> impl Iterator<Item = (&'static str, Vec<u8>, Value)> {
    KUBECTL.split("\n\n").map(|case| {
        let lines: Vec<_> = case.trim().lines().collect();
        (lines[0], from_base64(lines[1]), serde_json::from_str(lines[2]).unwrap())
    })
}

fn from_base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A part: its number, and bytes or a number.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    assert!(number < 16 && content.len() < 128);
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}
fn varint(number: u8, content: u8) -> Vec<u8> {
    assert!(number < 16 && content < 128);
    vec![number << 3, content]
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".as_slice(), &bytes(1, &type_meta), &bytes(2, raw)].concat()
}

#[track_caller]
fn check(api_version: &str, kind: &str, raw: &[u8], expected: Value) {
    let mut decoded = decode(&shipped(), &envelope(api_version, kind, raw)).unwrap();
    let map = decoded.as_object_mut().unwrap();
    assert_eq!((map.remove("apiVersion"), map.remove("kind")), (Some(api_version.into()), Some(kind.into())));
    assert_eq!(decoded, expected);
}

#[test]
fn reads_what_kubectl_posts() {
    let schema = shipped();
    let mut count = 0;
    for (command, body, expected) in captured() {
        assert_eq!(decode(&schema, &body).unwrap(), expected, "{command}");
        count += 1;
    }
    assert!(count >= 14, "{count} commands were captured");
}

#[test]
fn zeros_that_mean_something_stay() {
    check(
        "v1",
        "DeleteOptions",
        &[varint(1, 0), bytes(4, b"Background"), varint(3, 0)].concat(),
        json!({"gracePeriodSeconds": 0, "orphanDependents": false, "propagationPolicy": "Background"}),
    );
    check(
        "policy/v1",
        "Eviction",
        &bytes(2, &[varint(1, 30), bytes(2, &bytes(1, b"u"))].concat()),
        json!({"deleteOptions": {"gracePeriodSeconds": 30, "preconditions": {"uid": "u"}}}),
    );
    check(
        "autoscaling/v1",
        "Scale",
        &[bytes(1, &bytes(1, b"d")), bytes(2, &varint(1, 3))].concat(),
        json!({"metadata": {"name": "d"}, "spec": {"replicas": 3}}),
    );
    check(
        "v1",
        "Pod",
        &bytes(2, &[bytes(10, b""), varint(11, 0), varint(4, 0)].concat()),
        json!({"spec": {"terminationGracePeriodSeconds": 0}}),
    );
}

#[test]
fn special_messages_become_their_json() {
    let seconds = [0x08, 0xa5, 0xbb, 0xb5, 0xf0, 0x05];
    let time = json!({"metadata": {"creationTimestamp": "2020-01-02T03:04:05Z"}});
    check("v1", "ConfigMap", &bytes(1, &bytes(8, &seconds)), time);
    let micro = [seconds.as_slice(), &[0x10, 0xc0, 0x84, 0x3d]].concat();
    check("coordination.k8s.io/v1", "Lease", &bytes(2, &bytes(4, &micro)), json!({"spec": {"renewTime": "2020-01-02T03:04:05.001000Z"}}));
    let binary = bytes(2, &[bytes(1, b"k"), bytes(2, &[0, 255])].concat());
    check("v1", "Secret", &binary, json!({"data": {"k": "AP8="}}));
    check("v1", "Secret", &bytes(2, &bytes(1, b"k")), json!({"data": {"k": ""}}));
    let percent = bytes(2, &bytes(1, &[varint(1, 1), bytes(3, b"25%")].concat()));
    check("policy/v1", "PodDisruptionBudget", &percent, json!({"spec": {"minAvailable": "25%"}}));
    let extra = bytes(1, &[bytes(1, b"k"), bytes(2, &[bytes(1, b"a"), bytes(1, b"b")].concat())].concat());
    check(
        "authentication.k8s.io/v1",
        "TokenReview",
        &bytes(3, &bytes(2, &bytes(4, &extra[2..]))),
        json!({"status": {"user": {"extra": {"k": ["a", "b"]}}}}),
    );
    let fields = bytes(1, &bytes(7, &bytes(1, br#"{"f:data":{}}"#)));
    check(
        "v1",
        "ConfigMap",
        &bytes(
            1,
            &[0x8a, 0x01, u8::try_from(fields.len() - 2).unwrap()].into_iter().chain(fields[2..].iter().copied()).collect::<Vec<_>>(),
        ),
        json!({"metadata": {"managedFields": [{"fieldsV1": {"f:data": {}}}]}}),
    );
}

#[test]
fn the_url_names_what_the_envelope_does_not() {
    let body = from_base64("azhzAAoECgASABIXCgsKAWFaBgoBbBIBbRIGCgFrEgF2IAAaACIA");
    let decoded = decode_or(&shipped(), &body, "v1", "ConfigMap").unwrap();
    assert_eq!(
        decoded,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"l": "m"}}, "data": {"k": "v"}, "immutable": false})
    );
}

/// Bodies and words of the real server.
#[test]
fn broken_bodies_are_refused() {
    for (body, words) in [
        ("azhzAAoPCgJ2MRIJQ29uZmlnTWFwEg4KCwoBYVoGCgFsEgFtEhoAIgA=", "unexpected EOF"),
        ("azhzAAoPCgJ2MRIJQ29uZmlnTWFwEgT/////GgAiAA==", "unexpected EOF"),
        ("azhzAA==", "empty body"),
        ("", "empty data"),
        ("bm90IHByb3RvYnVm", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
    ] {
        assert_eq!(decode(&shipped(), &from_base64(body)).unwrap_err().to_string(), words, "{body}");
    }
    let unknown = decode(&shipped(), &envelope("v1", "Thing", b"")).unwrap_err();
    assert_eq!(unknown, ProtobufError::UnknownKind { api_version: "v1".into(), kind: "Thing".into() });
}

#[test]
fn depth_is_bounded() {
    let schema = shipped();
    let (mut raw, mut levels) = (vec![], 0);
    while levels < MAX_DEPTH {
        let mut outer = vec![0xe2, 0x01];
        let mut length = raw.len();
        while length >= 128 {
            outer.push(u8::try_from(length % 128).unwrap() | 0x80);
            length /= 128;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend(&raw);
        (raw, levels) = (outer, levels + 1);
    }
    let object = schema.definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").unwrap();
    assert_eq!(object.numbered(28).map(Field::name), Some("not"));
    let error = read_object(&raw, object, &mut Map::new(), MAX_DEPTH).unwrap_err();
    assert_eq!(error.to_string(), "messages nest too deep");
}

/// Every prefix and every bent byte of real bodies: any answer but a panic.
#[test]
fn never_panics() {
    let schema = shipped();
    for (_, body, _) in captured() {
        for at in 0..body.len() {
            let _prefix = decode(&schema, &body[..at]);
            for bent in [0x00, 0x08, 0x0a, 0x7f, 0x80, 0xff] {
                let mut bytes = body.clone();
                bytes[at] = bent;
                let _bent = decode(&schema, &bytes);
            }
        }
    }
}
