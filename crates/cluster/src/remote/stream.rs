//! What an API server sends on a watch: a line for each event. Pure.
use super::list::bytes;
use bytes::Bytes;
use knarr_machinery::{Key, Meta, Revision, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest line taken: an object of 3 MiB, the most that a server stores, with room for what wraps it.
const LINE_BYTES: usize = 8 << 20;

/// One event of a watch.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Put(Revision, Bytes),
    Delete(Revision, Key),
    /// Nothing happened up to here.
    Bookmark(Revision),
    Error(Status),
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where to look for the next end of a line.
    looked: usize,
}

impl Lines {
    /// The lines that a chunk completes. An error when a line grows beyond all measure.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.buffer.extend_from_slice(chunk);
        let mut lines = vec![];
        while let Some(end) = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n') {
            let rest = self.buffer.split_off(self.looked + end + 1);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            line.pop();
            self.looked = 0;
            if !line.is_empty() {
                lines.push(line);
            }
        }
        self.looked = self.buffer.len();
        if self.looked > LINE_BYTES {
            return Err(format!("a line of more than {LINE_BYTES} bytes"));
        }
        Ok(lines)
    }
}

impl Event {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Wire {
            r#type: String,
            object: Box<RawValue>,
        }
        #[derive(Deserialize)]
        struct Head {
            metadata: Meta,
        }
        let Wire { r#type, object } = serde_json::from_slice(line).map_err(|error| format!("not a watch event: {error}"))?;
        let text = object.get().as_bytes();
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => Ok(Self::Put(revision_of(text)?, bytes(object))),
            "DELETED" => {
                let Head { metadata } = serde_json::from_slice(text).map_err(|error| format!("not an object: {error}"))?;
                Ok(Self::Delete(revision_of(text)?, metadata.key()))
            }
            "BOOKMARK" => Ok(Self::Bookmark(revision_of(text)?)),
            "ERROR" => {
                let code = serde_json::from_slice::<Code>(text).map_or(500, |status| status.code);
                Ok(Self::Error(Status::from_json(code, text)))
            }
            other => Err(format!("an event of the unknown type {other:?}")),
        }
    }
}

#[derive(Deserialize)]
struct Code {
    code: u16,
}

/// The revision that an object carries.
pub(super) fn revision_of(object: &[u8]) -> Result<Revision, String> {
    #[derive(Deserialize)]
    struct Head {
        metadata: Versioned,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        resource_version: String,
    }
    let head: Head = serde_json::from_slice(object).map_err(|error| format!("not an object with a resourceVersion: {error}"))?;
    head.metadata.resource_version.parse().map(Revision).map_err(|_| format!("not a revision: {:?}", head.metadata.resource_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_lines_wherever_the_chunks_end() {
        let check = |chunks: &[&str], want: &[&str]| {
            let mut lines = Lines::default();
            let got: Vec<_> = chunks.iter().flat_map(|chunk| lines.push(chunk.as_bytes()).unwrap()).collect();
            assert_eq!(got, want.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>(), "{chunks:?}");
        };
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "b\nc", "\n"], &["ab", "c"]);
        check(&["\n\na\n", "\n"], &["a"]);
        check(&["a\nrest"], &["a"]);
        check(&[], &[]);
    }

    #[test]
    fn refuses_an_endless_line() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; LINE_BYTES / 2];
        assert!(lines.push(&chunk).is_ok() && lines.push(&chunk).is_ok());
        assert!(lines.push(&chunk).is_err());
    }

    #[test]
    fn reads_every_event_that_servers_send() {
        let check = |line: &str, want: Result<Event, ()>| assert_eq!(Event::read(line.as_bytes()).map_err(|_| ()), want, "{line}");
        let object = r#"{"metadata":{"namespace":"d","name":"a","resourceVersion":"7"}}"#;
        let put = || Ok(Event::Put(Revision(7), Bytes::from_static(object.as_bytes())));
        check(&format!(r#"{{"type":"ADDED","object":{object}}}"#), put());
        check(&format!(r#"{{"type":"MODIFIED","object":{object}}}"#), put());
        check(&format!(r#"{{"type":"DELETED","object":{object}}}"#), Ok(Event::Delete(Revision(7), Key::new("d", "a"))));
        check(r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}"#, Ok(Event::Bookmark(Revision(9))));
        let gone = Status::expired("too old resource version: 1 (5)");
        check(&format!(r#"{{"type":"ERROR","object":{}}}"#, gone.to_json()), Ok(Event::Error(gone)));
        check(r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#, Err(()));
        check(r#"{"type":"SHOUTED","object":{}}"#, Err(()));
        check("nonsense", Err(()));
    }
}
