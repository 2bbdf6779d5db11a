//! A container's log: what its guests write to stdout and stderr, as CRI lines `<RFC3339Nano> <stream> <F|P> <text>`.
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, Write},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

/// A longer line is written in parts: all but the last carry `P`. As container runtimes do it.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// A guest may write this much at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The file. All instances of a container write to it, each line in one piece.
pub struct Log {
    file: Mutex<File>,
}

impl Log {
    pub fn new(file: File) -> Arc<Self> {
        Arc::new(Self { file: Mutex::new(file) })
    }

    /// Writes on into another file.
    pub fn reopen(&self, file: File) {
        *self.file.lock().expect("a log's lock is never poisoned") = file;
    }

    fn append(&self, lines: &[u8]) {
        // A full disk must not end the guest: its lines are lost, as they are with other runtimes.
        if let Err(error) = self.file.lock().expect("a log's lock is never poisoned").write_all(lines) {
            tracing::debug!(%error, "log lines are lost");
        }
    }
}

/// One stream of one instance.
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    log: Arc<Log>,
    stream: Stream,
    /// The line that is not ended yet.
    partial: Mutex<Vec<u8>>,
}

impl Output {
    pub fn new(log: Arc<Log>, stream: Stream) -> Self {
        Self(Arc::new(Shared { log, stream, partial: Mutex::new(Vec::new()) }))
    }

    fn put(&self, bytes: &[u8]) {
        let mut lines = Vec::with_capacity(bytes.len() + 64);
        let mut partial = self.0.partial.lock().expect("a stream's lock is never poisoned");
        append(&mut lines, &mut partial, self.0.stream, &now(), bytes);
        if !lines.is_empty() {
            self.0.log.append(&lines);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let partial = std::mem::take(self.partial.get_mut().expect("a stream's lock is never poisoned"));
        if !partial.is_empty() {
            let mut lines = Vec::with_capacity(partial.len() + 64);
            line(&mut lines, self.stream, &now(), b'F', &partial);
            self.log.append(&lines);
        }
    }
}

fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// Turns bytes into lines, and keeps what does not end one.
fn append(lines: &mut Vec<u8>, partial: &mut Vec<u8>, stream: Stream, time: &str, bytes: &[u8]) {
    for piece in bytes.split_inclusive(|b| *b == b'\n') {
        let (mut text, ends) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        while partial.len() + text.len() > LINE_BYTES_MAX {
            let (head, tail) = text.split_at(LINE_BYTES_MAX - partial.len());
            partial.extend_from_slice(head);
            line(lines, stream, time, b'P', partial);
            partial.clear();
            text = tail;
        }
        partial.extend_from_slice(text);
        if ends {
            line(lines, stream, time, b'F', partial);
            partial.clear();
        }
    }
}

fn line(lines: &mut Vec<u8>, stream: Stream, time: &str, tag: u8, text: &[u8]) {
    lines.extend_from_slice(time.as_bytes());
    lines.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
    });
    lines.extend_from_slice(&[tag, b' ']);
    lines.extend_from_slice(text);
    lines.push(b'\n');
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl Pollable for Output {
    fn ready<'life0, 'async_trait>(&'life0 mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async {})
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(writes: &[&str], want: &str, left: &str) {
        let (mut lines, mut partial) = (Vec::new(), Vec::new());
        for text in writes {
            append(&mut lines, &mut partial, Stream::Stdout, "T", text.as_bytes());
        }
        assert_eq!((String::from_utf8(lines).unwrap().as_str(), String::from_utf8(partial).unwrap().as_str()), (want, left));
    }

    #[test]
    fn writes_whole_lines_and_keeps_the_rest() {
        check(&["one\ntwo\n"], "T stdout F one\nT stdout F two\n", "");
        check(&["o", "n", "e\ntw"], "T stdout F one\n", "tw");
        check(&["\n\n"], "T stdout F \nT stdout F \n", "");
        check(&[""], "", "");
    }

    #[test]
    fn writes_a_long_line_in_parts() {
        let long = "x".repeat(LINE_BYTES_MAX + 3);
        check(&[&long, "\n"], &format!("T stdout P {}\nT stdout F xxx\n", &long[3..]), "");
        let exact = "x".repeat(LINE_BYTES_MAX);
        check(&[&exact, "\n"], &format!("T stdout F {exact}\n"), "");
    }

    #[test]
    fn stamps_nanoseconds() {
        let text = now();
        assert_eq!((text.len(), text.as_bytes()[19], text.ends_with('Z')), ("2026-01-01T00:00:00.123456789Z".len(), b'.', true), "{text}");
    }
}
