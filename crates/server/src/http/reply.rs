//! An answer on its way out: code, headers, body; packed where it is large and the client unpacks.
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use knarr_machinery::Status;
use std::io::Write as _;

pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// As upstream: below this, packing costs more than it saves.
const PACK_FROM_BYTES: usize = 128 << 10;

pub struct Reply {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

pub enum Content {
    Whole(Bytes),
    Stream(Body),
}

impl Reply {
    pub fn json(code: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::of(code, "application/json", body)
    }

    pub fn of(code: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        Self { code, headers, content: Content::Whole(body.into()) }
    }

    pub fn status(status: &Status) -> Self {
        let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Self::json(code, status.to_json().to_string());
        if let Some(seconds) = status.details.as_ref().and_then(|details| details.retry_after_seconds) {
            reply.headers.insert(header::RETRY_AFTER, seconds.into());
        }
        reply
    }

    /// Nothing is served at this path: not even the API says so.
    pub fn no_page() -> Self {
        let mut reply = Self::of(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n");
        reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        reply
    }

    /// Sent piece by piece, as pieces come.
    pub fn stream(media: &'static str, pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static) -> Self {
        use futures_util::StreamExt as _;
        let frames = pieces.map(|piece| Ok(Frame::data(piece)));
        let mut reply = Self::of(StatusCode::OK, media, Bytes::new());
        reply.content = Content::Stream(StreamBody::new(frames).boxed_unsync());
        reply
    }

    /// `Warning: 299 - "..."`, each text once.
    pub fn warn(mut self, warnings: &[String]) -> Self {
        for (at, text) in warnings.iter().enumerate() {
            if warnings[..at].contains(text) {
                continue;
            }
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                self.headers.append(header::WARNING, value);
            }
        }
        self
    }

    pub fn into_response(mut self, accepts_gzip: bool) -> Response<Body> {
        self.headers.insert(
            header::CACHE_CONTROL,
            self.headers.get(header::CACHE_CONTROL).cloned().unwrap_or(HeaderValue::from_static("no-cache, private")),
        );
        let body = match self.content {
            Content::Stream(body) => body,
            Content::Whole(whole) => {
                let whole = if accepts_gzip && whole.len() >= PACK_FROM_BYTES {
                    self.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                    self.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
                    pack(&whole)
                } else {
                    whole
                };
                Full::new(whole).map_err(|never| match never {}).boxed_unsync()
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.code;
        *response.headers_mut() = self.headers;
        response
    }
}

pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let said = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(',').map(|part| part.split(';').next().unwrap_or_default().trim()).any(|name| name.eq_ignore_ascii_case("gzip"))
}

fn pack(whole: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::with_capacity(whole.len() / 4), Compression::fast());
    packer.write_all(whole).and_then(|()| packer.finish()).expect("a Vec takes everything").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_said_once() {
        let reply = Reply::json(StatusCode::OK, "{}").warn(&[r#"unknown field "a""#.into(), r#"unknown field "a""#.into(), "b".into()]);
        let said: Vec<_> = reply.headers.get_all(header::WARNING).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(said, [r#"299 - "unknown field \"a\"""#, r#"299 - "b""#]);
    }

    #[test]
    fn large_answers_are_packed_for_who_unpacks() {
        use std::io::Read as _;
        let large = "x".repeat(PACK_FROM_BYTES);
        let packed = |accepts| Reply::json(StatusCode::OK, large.clone()).into_response(accepts);
        assert!(!packed(false).headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(packed(true).headers()[header::CONTENT_ENCODING], "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&pack(large.as_bytes())[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, large);
    }
}
