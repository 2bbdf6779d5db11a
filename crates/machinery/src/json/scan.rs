//! The tokens of JSON, and the words for what is none.
use super::JsonError;
use serde_json::Value;
use std::borrow::Cow;

pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

/// How a value begins; plain ones end there too.
pub(super) enum Begin<'t> {
    Object,
    Array,
    Plain(Value),
    Number(&'t str),
}

/// What follows a member.
pub(super) enum Next {
    Member,
    Close,
}

type Scanned<T> = Result<T, JsonError>;

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn begin(&mut self) -> Scanned<Begin<'t>> {
        const HERE: &str = "looking for beginning of value";
        let begin = match self.peek().ok_or_else(ended)? {
            b'{' => Begin::Object,
            b'[' => Begin::Array,
            b'"' => return Ok(Begin::Plain(Value::String(self.string()?.into_owned()))),
            b't' => return self.literal("true", Value::Bool(true)),
            b'f' => return self.literal("false", Value::Bool(false)),
            b'n' => return self.literal("null", Value::Null),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return Err(self.unexpected(HERE)),
        };
        self.at += 1;
        Ok(begin)
    }

    /// Takes the bracket of an empty object or list.
    pub fn closes_at_once(&mut self, is_object: bool) -> bool {
        let closes = self.peek() == Some(if is_object { b'}' } else { b']' });
        self.at += usize::from(closes);
        closes
    }

    pub fn key(&mut self) -> Scanned<Cow<'t, str>> {
        match self.peek() {
            None => return Err(ended()),
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("looking for beginning of object key string")),
        }
        let key = self.string()?;
        match self.peek() {
            None => Err(ended()),
            Some(b':') => {
                self.at += 1;
                Ok(key)
            }
            Some(_) => Err(self.unexpected("after object key")),
        }
    }

    pub fn next(&mut self, is_object: bool) -> Scanned<Next> {
        let next = match (self.peek(), is_object) {
            (None, _) => return Err(ended()),
            (Some(b','), _) => Next::Member,
            (Some(b'}'), true) | (Some(b']'), false) => Next::Close,
            (Some(_), true) => return Err(self.unexpected("after object key:value pair")),
            (Some(_), false) => return Err(self.unexpected("after array element")),
        };
        self.at += 1;
        Ok(next)
    }

    pub fn end(&mut self) -> Scanned<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("after top-level value")) }
    }

    fn literal(&mut self, word: &str, value: Value) -> Scanned<Begin<'t>> {
        for expected in word.chars() {
            match self.text[self.at..].chars().next() {
                None => return Err(ended()),
                Some(c) if c == expected => self.at += 1,
                Some(_) => return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')"))),
            }
        }
        Ok(Begin::Plain(value))
    }

    fn number(&mut self) -> Scanned<Begin<'t>> {
        let start = self.at;
        self.skip(|b| b == b'-', 1);
        if self.skip(|b| b == b'0', 1) == 0 {
            self.digits("in numeric literal")?;
        }
        if self.skip(|b| b == b'.', 1) == 1 {
            self.digits("after decimal point in numeric literal")?;
        }
        if self.skip(|b| matches!(b, b'e' | b'E'), 1) == 1 {
            self.skip(|b| matches!(b, b'+' | b'-'), 1);
            self.digits("in exponent of numeric literal")?;
        }
        Ok(Begin::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self, place: &str) -> Scanned<()> {
        if self.skip(|b| b.is_ascii_digit(), usize::MAX) > 0 {
            return Ok(());
        }
        Err(if self.at == self.text.len() { ended() } else { self.unexpected(place) })
    }

    fn skip(&mut self, is_taken: impl Fn(u8) -> bool, most: usize) -> usize {
        let taken = self.text.as_bytes()[self.at..].iter().take(most).take_while(|b| is_taken(**b)).count();
        self.at += taken;
        taken
    }

    /// From the opening quote to behind the closing one. Borrowed when nothing is escaped.
    fn string(&mut self) -> Scanned<Cow<'t, str>> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let start = self.at;
            self.skip(|b| b >= b' ' && b != b'"' && b != b'\\', usize::MAX);
            let run = &self.text[start..self.at];
            match self.text.as_bytes().get(self.at) {
                None => return Err(ended()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(run),
                        Some(text) => Cow::Owned(text + run),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(run);
                    self.at += 1;
                    let c = self.escape()?;
                    text.push(c);
                }
                Some(_) => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Scanned<char> {
        let c = match self.text.as_bytes().get(self.at) {
            None => return Err(ended()),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(*b),
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            Some(_) => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(c)
    }

    /// Half a pair without its other half becomes U+FFFD.
    fn unicode(&mut self) -> Scanned<char> {
        let first = self.hex()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let before = self.at;
        if first < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Scanned<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = match self.text.as_bytes().get(self.at) {
                None => return Err(ended()),
                Some(b) => char::from(*b).to_digit(16),
            };
            code = code * 16 + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn unexpected(&self, place: &str) -> JsonError {
        let shown = match self.text[self.at..].chars().next() {
            Some('\'') => r"'\''".into(),
            Some('"') => "'\"'".into(),
            Some(c) => format!("'{}'", c.escape_debug()),
            None => return ended(),
        };
        JsonError::Syntax(format!("invalid character {shown} {place}"))
    }
}

fn ended() -> JsonError {
    JsonError::Syntax("unexpected end of JSON input".into())
}
