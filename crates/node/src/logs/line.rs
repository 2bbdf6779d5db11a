//! One line of a log as CRI has it: `<RFC3339Nano> stdout|stderr F|P text`. Pure.
use jiff::Timestamp;

/// A line, read. `text` has no newline; a partial line goes on in the next one.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    pub stamp: &'a [u8],
    pub is_partial: bool,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// What is not such a line is all text: nothing that was written is hidden.
    pub fn read(line: &'a [u8]) -> Self {
        Self::split(line).unwrap_or(Self { stamp: b"", is_partial: false, text: line })
    }

    fn split(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (stamp, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let is_partial = match tag {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        let is_stream = stream == b"stdout" || stream == b"stderr";
        is_stream.then_some(Self { stamp, is_partial, text: parts.next().unwrap_or_default() })
    }

    pub fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.stamp).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_runtimes_write() {
        let full = Line::read(b"2026-11-21T12:00:00.123456789Z stdout F hello  world");
        assert_eq!((full.text, full.is_partial), (&b"hello  world"[..], false));
        assert_eq!(full.time().unwrap().to_string(), "2026-11-21T12:00:00.123456789Z");
        let partial = Line::read(b"2026-11-21T12:00:00Z stderr P half");
        assert_eq!((partial.text, partial.is_partial), (&b"half"[..], true));
        assert_eq!(Line::read(b"2026-11-21T12:00:00Z stdout F ").text, b"");
    }

    #[test]
    fn shows_what_is_no_such_line_as_it_is() {
        for odd in [&b"panic: what now"[..], b"", b"2026 stdout X a", b"2026 stdin F a", b"\xff\xfe"] {
            assert_eq!(Line::read(odd), Line { stamp: b"", is_partial: false, text: odd });
        }
    }
}
