//! Writes, lists and watches as HTTP requests. Pure.
use crate::{FieldValidation, PatchType, Propagation, Target, Verb, Write};
use http::{Method, Request, header};
use knarr_machinery::{GroupResource, Key, Revision};
use serde_json::json;
use std::fmt::Write as _;

/// Objects asked for at once: as other clients do.
const PAGE: usize = 500;
/// How long the server may keep a watch. Below five minutes, which is what load balancers grant an idle connection.
pub(super) const WATCH_SECONDS: u64 = 290;

/// A part of a cluster that a feed brings to the shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub resource: GroupResource,
    /// The version to read it in: `v1`.
    pub version: String,
    pub part: Part,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Whole,
    /// What a field selector picks: `spec.nodeName=a`. Of this collection nothing else comes to this shelf.
    Selected(String),
    /// One object. Others of the collection come by feeds of their own.
    One(Key),
}

impl Source {
    fn path(&self) -> String {
        let namespace = if let Part::One(key) = &self.part { &key.namespace } else { "" };
        collection(&self.resource, &self.version, namespace)
    }

    fn query(&self) -> Query {
        let mut query = Query::default();
        match &self.part {
            Part::Whole => {}
            Part::Selected(fields) => query.add("fieldSelector", fields),
            Part::One(key) => query.add("fieldSelector", &format!("metadata.name={}", key.name)),
        }
        query
    }

    /// A page of a list: the first, or the one that a token continues with.
    pub(super) fn list(&self, token: &str) -> Request<Vec<u8>> {
        let mut query = self.query();
        query.add("limit", &PAGE.to_string());
        if !token.is_empty() {
            query.add("continue", token);
        }
        get(&query.on(&self.path()))
    }

    pub(super) fn watch(&self, after: Revision) -> Request<Vec<u8>> {
        let mut query = self.query();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("resourceVersion", &after.to_string());
        query.add("timeoutSeconds", &WATCH_SECONDS.to_string());
        get(&query.on(&self.path()))
    }
}

fn get(uri: &str) -> Request<Vec<u8>> {
    let request = Request::builder().uri(uri).header(header::ACCEPT, "application/json");
    request.body(vec![]).expect("every part of the address is encoded")
}

/// A write as the API server takes it, in a version of its resource.
pub(super) fn write(write: &Write, version: &str) -> Request<Vec<u8>> {
    let Write { verb, target, body, options } = write;
    let mut query = Query::default();
    let (method, content_type, body) = match verb {
        Verb::Create => (Method::POST, "application/json", body.to_vec()),
        Verb::Update => (Method::PUT, "application/json", body.to_vec()),
        Verb::Patch(how) => (Method::PATCH, patch_type(*how), body.to_vec()),
        Verb::Delete => (Method::DELETE, "application/json", delete_options(write)),
    };
    if *verb != Verb::Delete {
        if options.dry_run {
            query.add("dryRun", "All");
        }
        if let Some(manager) = &options.field_manager {
            query.add("fieldManager", manager);
        }
        match options.field_validation {
            FieldValidation::Ignore => query.add("fieldValidation", "Ignore"),
            FieldValidation::Warn => {}
            FieldValidation::Strict => query.add("fieldValidation", "Strict"),
        }
        if options.force {
            query.add("force", "true");
        }
    }
    let uri = query.on(&path(*verb, target, version));
    let request = Request::builder().method(method).uri(uri).header(header::ACCEPT, "application/json");
    request.header(header::CONTENT_TYPE, content_type).body(body).expect("every part of the address is encoded")
}

fn patch_type(how: PatchType) -> &'static str {
    match how {
        PatchType::Json => "application/json-patch+json",
        PatchType::Merge => "application/merge-patch+json",
        PatchType::Strategic => "application/strategic-merge-patch+json",
        PatchType::Apply => "application/apply-patch+yaml",
    }
}

/// Everything that a delete says goes in its body, which a server takes in place of the query.
fn delete_options(write: &Write) -> Vec<u8> {
    let options = &write.options;
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if options.dry_run {
        body["dryRun"] = json!(["All"]);
    }
    if let Some(seconds) = options.grace_period_seconds {
        body["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(propagation) = options.propagation {
        body["propagationPolicy"] = json!(match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        });
    }
    if let Some(uid) = &options.preconditions.uid {
        body["preconditions"]["uid"] = json!(uid);
    }
    if let Some(revision) = options.preconditions.resource_version {
        body["preconditions"]["resourceVersion"] = json!(revision.to_string());
    }
    serde_json::to_vec(&body).expect("a Value is JSON")
}

fn path(verb: Verb, target: &Target, version: &str) -> String {
    let mut path = collection(&target.resource, version, &target.key.namespace);
    // A new object is posted to its collection; a subresource hangs below an object that is there.
    if verb != Verb::Create || target.subresource.is_some() {
        path.push('/');
        path.push_str(&encode(&target.key.name));
    }
    if let Some(subresource) = &target.subresource {
        path.push('/');
        path.push_str(&encode(subresource));
    }
    path
}

fn collection(resource: &GroupResource, version: &str, namespace: &str) -> String {
    let GroupResource { group, resource } = resource;
    let mut path =
        if group.is_empty() { format!("/api/{}", encode(version)) } else { format!("/apis/{}/{}", encode(group), encode(version)) };
    if !namespace.is_empty() {
        path.push_str("/namespaces/");
        path.push_str(&encode(namespace));
    }
    path.push('/');
    path.push_str(&encode(resource));
    path
}

#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encode(value));
    }

    fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// Percent-encodes all that is not plain in every part of an address.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Preconditions};
    use bytes::Bytes;

    fn said(request: &Request<Vec<u8>>) -> String {
        let content = request.headers().get(header::CONTENT_TYPE).map_or(String::new(), |kind| format!(" {}", kind.to_str().unwrap()));
        format!("{} {}{content} {}", request.method(), request.uri(), String::from_utf8_lossy(request.body())).trim_end().to_owned()
    }

    #[test]
    fn asks_as_an_api_server_expects() {
        let check = |verb, group: &str, key: &str, subresource: Option<&str>, options, want: &str| {
            let (namespace, name) = key.split_once('/').unwrap();
            let resource = if group.is_empty() { GroupResource::new("", "pods") } else { GroupResource::new(group, "deployments") };
            let target = Target { resource, version: None, key: Key::new(namespace, name), subresource: subresource.map(Into::into) };
            let body = if verb == Verb::Delete { Bytes::new() } else { Bytes::from_static(b"{}") };
            assert_eq!(said(&super::write(&Write { verb, target, body, options }, "v1")), want);
        };
        let plain = Options::default;
        let manager = Options { field_manager: Some("kubelet/a b".into()), force: true, ..plain() };
        let strict = Options { dry_run: true, field_validation: FieldValidation::Strict, ..plain() };
        let preconditions = Preconditions { uid: Some("u".into()), resource_version: Some(Revision(7)) };
        let careful =
            Options { propagation: Some(Propagation::Orphan), grace_period_seconds: Some(0), preconditions, dry_run: true, ..plain() };
        check(Verb::Create, "", "default/a", None, plain(), "POST /api/v1/namespaces/default/pods application/json {}");
        check(
            Verb::Create,
            "",
            "default/a",
            Some("binding"),
            plain(),
            "POST /api/v1/namespaces/default/pods/a/binding application/json {}",
        );
        check(
            Verb::Update,
            "apps",
            "default/a",
            Some("status"),
            plain(),
            "PUT /apis/apps/v1/namespaces/default/deployments/a/status application/json {}",
        );
        check(Verb::Update, "", "/a", None, plain(), "PUT /api/v1/pods/a application/json {}");
        check(Verb::Patch(PatchType::Merge), "", "d/a", None, plain(), "PATCH /api/v1/namespaces/d/pods/a application/merge-patch+json {}");
        check(
            Verb::Patch(PatchType::Apply),
            "",
            "d/a",
            None,
            manager,
            "PATCH /api/v1/namespaces/d/pods/a?fieldManager=kubelet%2Fa%20b&force=true application/apply-patch+yaml {}",
        );
        check(
            Verb::Create,
            "",
            "d/a/../b",
            None,
            strict,
            "POST /api/v1/namespaces/d/pods?dryRun=All&fieldValidation=Strict application/json {}",
        );
        check(Verb::Update, "", "d/../b", None, plain(), "PUT /api/v1/namespaces/d/pods/..%2Fb application/json {}");
        check(
            Verb::Delete,
            "",
            "d/a",
            None,
            careful,
            r#"DELETE /api/v1/namespaces/d/pods/a application/json {"apiVersion":"v1","dryRun":["All"],"gracePeriodSeconds":0,"kind":"DeleteOptions","preconditions":{"resourceVersion":"7","uid":"u"},"propagationPolicy":"Orphan"}"#,
        );
    }

    #[test]
    fn lists_and_watches_only_its_part() {
        let check = |part: Part, list: &str, watch: &str| {
            let source = Source { resource: GroupResource::new("", "pods"), version: "v1".into(), part };
            assert_eq!((said(&source.list("")), said(&source.watch(Revision(9)))), (list.to_owned(), watch.to_owned()));
        };
        const WATCH: &str = "watch=true&allowWatchBookmarks=true&resourceVersion=9&timeoutSeconds=290";
        check(Part::Whole, "GET /api/v1/pods?limit=500", &format!("GET /api/v1/pods?{WATCH}"));
        check(
            Part::Selected("spec.nodeName=a".into()),
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3Da&limit=500",
            &format!("GET /api/v1/pods?fieldSelector=spec.nodeName%3Da&{WATCH}"),
        );
        check(
            Part::One(Key::new("shop", "web")),
            "GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb&limit=500",
            &format!("GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb&{WATCH}"),
        );
    }
}
