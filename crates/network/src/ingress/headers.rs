//! What a proxy changes in the head of a message. Pure.
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{self, Entry},
};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Who sent a request, and how it came.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// The host that a request is for, without its port; nothing where it names none.
pub fn host<B>(request: &Request<B>) -> Option<String> {
    let named = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    let authority: http::uri::Authority = named.parse().ok()?;
    Some(authority.host().to_owned())
}

/// Turns a request that came in into the one that a pod gets: HTTP/1.1, origin form, one `Host`, our marks, nothing that is between two hops only.
pub fn to_pod<B>(request: &mut Request<B>, client: Client) {
    let upgrade = upgrade(request.headers());
    let host = match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(header::HOST).cloned(),
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(origin) = Uri::builder().path_and_query(path).build() {
        *request.uri_mut() = origin;
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    strip(headers);
    headers.remove(header::EXPECT);
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
        headers.insert(header::HOST, host);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(client.scheme));
    append(headers, FORWARDED_FOR, &client.address.to_string());
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Turns a pod's answer into ours. `Upgrade` stays with an answer that switches protocols.
pub fn from_pod(headers: &mut HeaderMap, switches: Option<HeaderValue>) {
    strip(headers);
    if let Some(protocol) = switches {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// The protocol that both sides would change to.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let is_asked = asks.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_asked).cloned()
}

/// Removes what is between two hops only (RFC 9110, 7.6.1): the named ones, and what `Connection` lists.
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let always = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
    ];
    for name in listed.into_iter().chain(always).chain([KEEP_ALIVE, PROXY_CONNECTION]) {
        headers.remove(name);
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, more: &str) {
    match headers.entry(name) {
        Entry::Occupied(mut there) => {
            let before: Vec<_> = there.iter().filter_map(|value| value.to_str().ok()).collect();
            let joined = format!("{}, {more}", before.join(", "));
            if let Ok(value) = HeaderValue::from_str(&joined) {
                there.insert(value);
            }
        }
        Entry::Vacant(free) => {
            if let Ok(value) = HeaderValue::from_str(more) {
                free.insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &str) -> Request<()> {
        let mut builder = Request::builder().uri(uri);
        for (name, value) in headers.split('|').filter_map(|line| line.split_once(':')) {
            builder = builder.header(name.trim(), value.trim());
        }
        builder.body(()).unwrap()
    }

    fn said(headers: &HeaderMap) -> String {
        let mut lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines.join(" | ")
    }

    #[test]
    fn marks_what_goes_to_a_pod() {
        let marks = |host: &str| format!("host: {host} | x-forwarded-for: 192.0.2.9 | x-forwarded-host: {host} | x-forwarded-proto: https");
        for (uri, headers, path, expected) in [
            ("/a?b=1", "host: web.org", "/a?b=1", marks("web.org")),
            ("https://web.org:8443/a", "", "/a", marks("web.org:8443")),
            ("https://web.org/a", "host: evil.org", "/a", marks("web.org")),
            (
                "/",
                "host: w | connection: keep-alive, x-secret | x-secret: 1 | keep-alive: 5 | te: trailers | expect: 100-continue",
                "/",
                marks("w"),
            ),
            ("/", "host: w | transfer-encoding: chunked | proxy-authorization: x | proxy-connection: y", "/", marks("w")),
            ("/", "host: w | x-forwarded-proto: http | x-forwarded-host: evil", "/", marks("w")),
            ("/", "host: w | x-forwarded-for: 198.51.100.1", "/", marks("w").replace("192.0.2.9", "198.51.100.1, 192.0.2.9")),
            (
                "/",
                "host: w | connection: Upgrade | upgrade: websocket",
                "/",
                format!("connection: upgrade | {}", marks("w").replace(" | x-forwarded-for", " | upgrade: websocket | x-forwarded-for")),
            ),
            ("/", "host: w | upgrade: h2c", "/", marks("w")),
        ] {
            let mut request = request(uri, headers);
            to_pod(&mut request, Client { address: "192.0.2.9".parse().unwrap(), scheme: "https" });
            assert_eq!((request.uri().to_string().as_str(), said(request.headers())), (path, expected), "{uri} {headers}");
        }
    }

    #[test]
    fn finds_the_host() {
        for (uri, headers, expected) in [
            ("/", "host: web.org", Some("web.org")),
            ("/", "host: web.org:8080", Some("web.org")),
            ("http://web.org:8080/", "", Some("web.org")),
            ("/", "host: [::1]:80", Some("[::1]")),
            ("/", "", None),
            ("/", "host: a b", None),
        ] {
            assert_eq!(host(&request(uri, headers)).as_deref(), expected, "{uri} {headers}");
        }
    }

    #[test]
    fn an_answer_loses_what_was_between_hops() {
        let mut answer = request("/", "connection: close, x-a | x-a: 1 | keep-alive: 3 | content-type: text/plain").headers().clone();
        from_pod(&mut answer, None);
        assert_eq!(said(&answer), "content-type: text/plain");
    }
}
