//! Against the committed schema, so that what is generated is tested with what reads it.
use super::*;

/// The table that ships.
pub fn shipped() -> Schema {
    Schema::unpack(include_bytes!("../../../kinds/src/schema.bin")).expect("the committed schema is good")
}

/// `kind.field.field`, through lists and maps, of the first kind of that name.
fn field<'s>(schema: &'s Schema, path: &str) -> Field<'s> {
    let mut names = path.split('.');
    let kind = names.next().unwrap();
    let (_, _, mut object) = schema.kinds().find(|(_, k, _)| *k == kind).unwrap();
    let mut found = None;
    for name in names {
        if let Some(field) = found {
            object = object_of(field);
        }
        found = object.field(name);
        assert!(found.is_some(), "{path}: no {name} in {object:?}");
    }
    found.unwrap()
}

fn object_of(field: Field<'_>) -> Type<'_> {
    let mut shape = field.shape();
    while let Shape::List(item) | Shape::Map(item) = shape {
        shape = item.shape();
    }
    if let Shape::Object(object) = shape { object } else { panic!("{field:?} holds no object") }
}

#[test]
fn kinds_are_found_by_version_and_name() {
    let schema = shipped();
    for (api_version, kind, name) in [
        ("v1", "Pod", "io.k8s.api.core.v1.Pod"),
        ("apps/v1", "Deployment", "io.k8s.api.apps.v1.Deployment"),
        ("autoscaling/v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"),
        ("policy/v1", "Eviction", "io.k8s.api.policy.v1.Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"),
        ("authentication.k8s.io/v1", "SelfSubjectReview", "io.k8s.api.authentication.v1.SelfSubjectReview"),
        ("certificates.k8s.io/v1", "CertificateSigningRequest", "io.k8s.api.certificates.v1.CertificateSigningRequest"),
        ("apps/v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        ),
    ] {
        assert_eq!(schema.kind(api_version, kind).map(Type::name), Some(name));
        assert_eq!(schema.definition(name).map(Type::name), Some(name));
    }
    assert!(schema.kind("v2", "Pod").is_none() && schema.kind("v1", "Nope").is_none() && schema.definition("Pod").is_none());
    assert!(schema.definitions().count() > 700 && schema.definitions().all(|t| t.name().starts_with("io.k8s.")));
}

#[test]
fn fields_have_shapes() {
    let schema = shipped();
    for (path, shape) in [
        ("Pod.spec.containers.image", "Plain(String)"),
        ("Pod.spec.terminationGracePeriodSeconds", "Plain(Int64)"),
        ("Deployment.spec.replicas", "Plain(Int32)"),
        ("Deployment.spec.strategy.rollingUpdate.maxSurge", "Plain(IntOrString)"),
        ("Pod.metadata.creationTimestamp", "Plain(Time)"),
        ("Lease.spec.renewTime", "Plain(MicroTime)"),
        ("Pod.metadata.managedFields.fieldsV1", "Plain(Any)"),
        ("Pod.spec.hostNetwork", "Plain(Boolean)"),
    ] {
        assert_eq!(format!("{:?}", field(&schema, path).shape()), shape, "{path}");
    }
    for (path, inner) in
        [("Secret.data", Plain::Bytes), ("Pod.spec.containers.resources.limits", Plain::Quantity), ("ConfigMap.data", Plain::String)]
    {
        let Shape::Map(item) = field(&schema, path).shape() else { panic!("{path} is a map") };
        assert!(matches!(item.shape(), Shape::Plain(plain) if plain == inner), "{path}");
    }
}

#[test]
fn lists_know_how_they_merge() {
    let schema = shipped();
    let keys = |path: &str| field(&schema, path).map_keys().collect::<Vec<_>>().join(",");
    for (path, kind, map_keys, merges, merge_key) in [
        ("Pod.spec.containers", ListKind::Map, "name", true, Some("name")),
        ("Pod.spec.containers.ports", ListKind::Map, "containerPort,protocol", true, Some("containerPort")),
        ("Pod.spec.containers.args", ListKind::Atomic, "", false, None),
        ("Pod.metadata.finalizers", ListKind::Set, "", true, None),
        ("Service.spec.ports", ListKind::Map, "port,protocol", true, Some("port")),
        ("Job.status.conditions", ListKind::Atomic, "", true, Some("type")),
        ("Pod.metadata.ownerReferences", ListKind::Map, "uid", true, Some("uid")),
    ] {
        let found = field(&schema, path);
        assert_eq!((found.list_kind(), &*keys(path), found.merges(), found.merge_key()), (kind, map_keys, merges, merge_key), "{path}");
    }
    assert!(field(&schema, "Pod.spec.volumes").retains_keys() && field(&schema, "Deployment.spec.strategy").retains_keys());
    assert!(field(&schema, "Deployment.spec.selector").is_atomic_map() && !field(&schema, "Pod.spec").is_atomic_map());
    assert!(field(&schema, "Pod.spec.containers").is_required() && !field(&schema, "Pod.spec").is_required());
}

#[test]
fn inline_messages_are_hidden_from_json() {
    let schema = shipped();
    let probe = schema.definition("io.k8s.api.core.v1.Probe").unwrap();
    assert!(probe.field("handler").is_none() && probe.field("httpGet").is_some());
    let handler = probe.numbered(1).unwrap();
    assert!(handler.is_inline() && object_of(handler).numbered(2).is_some_and(|f| f.name() == "httpGet"));
}

/// An idle server has little memory; this table is part of it.
#[test]
fn the_unpacked_table_is_small() {
    let schema = shipped();
    let tables = size_of_val(&*schema.fields) + size_of_val(&*schema.types) + size_of_val(&*schema.shapes) + size_of_val(&*schema.kinds);
    let whole = tables + schema.text.len() + size_of_val(&*schema.starts) + size_of_val(&*schema.keys);
    assert!(whole < 200 << 10, "{whole} bytes");
}

#[test]
fn a_broken_file_is_refused() {
    use std::io::Write as _;
    let packed = include_bytes!("../../../kinds/src/schema.bin");
    let mut plain = vec![];
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&packed[..]), &mut plain).unwrap();
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    assert!(Schema::unpack(&deflate(&plain)).is_ok());
    for cut in [0, 5, 14, 20, plain.len() / 2, plain.len() - 1] {
        assert!(Schema::unpack(&deflate(&plain[..cut])).is_err(), "cut at {cut}");
    }
    for at in (0..plain.len()).step_by(997) {
        let mut bent = plain.clone();
        bent[at] ^= 0x55;
        // Some bent bytes are only other names; none may panic, here or in a lookup.
        if let Ok(schema) = Schema::unpack(&deflate(&bent)) {
            let _count = schema.kinds().map(|(_, _, t)| t.fields().count()).sum::<usize>();
        }
    }
}
