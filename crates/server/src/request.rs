//! What a URL names: a collection, an object, a subresource, or one of the fixed paths. Pure; whether it exists is the table's to say.
use http::Method;
use knarr_machinery::GroupResource;

#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// `/api/v1/...`, `/apis/GROUP/VERSION/...` with a resource in it.
    Resource(Named),
    /// Everything else: health, discovery, metrics.
    Path,
}

/// A resource as the URL names it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Named {
    pub group: String,
    pub version: String,
    pub plural: String,
    /// Empty for all namespaces and for cluster-scoped resources.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    pub subresource: Option<String>,
}

impl Named {
    pub fn resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }
}

/// Reads a path. A trailing slash counts for nothing.
pub fn route(path: &str) -> Route {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Route::Path,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if !matches!(*plural, "status" | "finalize") => {
            (*namespace, [&[*plural], rest].concat())
        }
        rest => ("", rest.to_vec()),
    };
    let (plural, name, subresource) = match rest.as_slice() {
        [plural] => (*plural, "", None),
        [plural, name] => (*plural, *name, None),
        [plural, name, rest @ ..] => (*plural, *name, Some(rest.join("/"))),
        [] => return Route::Path,
    };
    // A namespace is itself an object, and its own namespace to who asks whether one may.
    let namespace = if group.is_empty() && plural == "namespaces" { name } else { namespace };
    Route::Resource(Named {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        namespace: namespace.into(),
        name: name.into(),
        subresource,
    })
}

/// The verb of an RBAC rule. `watches` is what the query says.
pub fn verb(method: &Method, named: &Named, watches: bool) -> &'static str {
    match (method.as_str(), named.name.is_empty()) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        ("GET" | "HEAD", true) if watches => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        _ => "",
    }
}

/// Percent-decodes; what is no valid escape stays as it is.
pub fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail
            .get(..2)
            .filter(|hex| *first == b'%' && hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_it_is_about() {
        let check = |path: &str, expected: &str| {
            let said = match route(path) {
                Route::Path => "path".to_owned(),
                Route::Resource(n) => {
                    format!("{}/{} {} {}/{} {}", n.group, n.version, n.plural, n.namespace, n.name, n.subresource.unwrap_or_default())
                }
            };
            assert_eq!(said.trim_end(), expected, "{path}");
        };
        check("/api", "path");
        check("/api/v1", "path");
        check("/apis/apps/v1/", "path");
        check("/livez/ping", "path");
        check("/api/v1/pods", "/v1 pods /");
        check("/api/v1/nodes/a", "/v1 nodes /a");
        check("/api/v1/namespaces", "/v1 namespaces /");
        check("/api/v1/namespaces/a", "/v1 namespaces a/a");
        check("/api/v1/namespaces/a/finalize", "/v1 namespaces a/a finalize");
        check("/api/v1/namespaces/a/pods/", "/v1 pods a/");
        check("/api/v1/namespaces/a/pods/p/log", "/v1 pods a/p log");
        check("/apis/apps/v1/namespaces/a/deployments/d/scale", "apps/v1 deployments a/d scale");
        check("/api/v1/namespaces/a/services/s/proxy/x/y", "/v1 services a/s proxy/x/y");
        check("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", "rbac.authorization.k8s.io/v1 clusterroles /system:node");
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        for (text, expected) in
            [("a%20b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%+1x", "%+1x"), ("é%C3%A9", "éé"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(decode(text), expected);
        }
    }

    #[test]
    fn methods_become_verbs() {
        let object = Named { name: "a".into(), ..Named::default() };
        let all = Named::default();
        assert_eq!(
            [verb(&Method::GET, &object, true), verb(&Method::GET, &all, true), verb(&Method::GET, &all, false)],
            ["get", "watch", "list"]
        );
        assert_eq!([verb(&Method::DELETE, &object, false), verb(&Method::DELETE, &all, false)], ["delete", "deletecollection"]);
    }
}
