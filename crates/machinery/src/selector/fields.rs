//! Field selectors: `metadata.name=a,status.phase!=Running`.
use crate::Status;
use std::borrow::Cow;

/// Terms that must all hold. Which paths a kind knows is for the caller to check, by [`Fields::terms`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub path: Box<str>,
    /// `!=` instead of `=` or `==`.
    pub negated: bool,
    pub value: Box<str>,
}

impl Fields {
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut terms = vec![];
        for part in split_unescaped(text).filter(|part| !part.is_empty()) {
            let (path, negated, value) =
                cut(part).ok_or_else(|| Status::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")))?;
            let value = unescape(value).ok_or_else(|| Status::bad_request(format!("invalid field selector: invalid value: '{value}'")))?;
            terms.push(Term { path: path.into(), negated, value: value.into() });
        }
        Ok(Self { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The value that a path must have, when one is demanded: lets a caller look up `metadata.name` instead of walking a collection.
    pub fn exact(&self, path: &str) -> Option<&str> {
        self.terms.iter().find(|t| !t.negated && &*t.path == path).map(|t| &*t.value)
    }

    /// A field that an object does not have counts as empty.
    pub fn matches<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> bool {
        self.terms.iter().all(|term| (value(&term.path).as_deref().unwrap_or_default() == &*term.value) != term.negated)
    }
}

/// Splits at commas that no backslash stands before.
fn split_unescaped(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let splits = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
}

/// Cuts a term at its first operator.
fn cut(term: &str) -> Option<(&str, bool, &str)> {
    for (at, c) in term.char_indices() {
        let rest = &term[at..];
        if c == '\\' {
            return None;
        }
        for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], negated, value));
            }
        }
    }
    None
}

/// Only `\\`, `\,` and `\=` are escapes; a bare comma or equals sign has no business in a value.
fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?,
            ',' | '=' => return None,
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(path: &str) -> Option<Cow<'static, str>> {
        match path {
            "metadata.name" => Some("a".into()),
            "odd" => Some("x,y=z\\".into()),
            "count" => Some(5.to_string().into()),
            _ => None,
        }
    }

    #[test]
    fn every_term_must_hold() {
        for (text, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,count=5", true),
            ("metadata.name!=a", false),
            ("metadata.name=a,count!=5", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            (r"odd=x\,y\=z\\", true),
            ("metadata.name=a,,", true),
        ] {
            assert_eq!(Fields::parse(text).unwrap().matches(value), expected, "{text}");
        }
    }

    #[test]
    fn tells_what_it_cannot_understand() {
        for (text, words) in [
            ("metadata.name in (a)", "invalid selector: 'metadata.name in (a)'; can't understand 'metadata.name in (a)'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            (r"a=\b", r"invalid field selector: invalid value: '\b'"),
        ] {
            assert_eq!(Fields::parse(text).unwrap_err().message, words);
        }
    }

    #[test]
    fn knows_the_value_that_is_demanded() {
        let fields = Fields::parse("metadata.name=a,spec.nodeName!=n").unwrap();
        assert_eq!((fields.exact("metadata.name"), fields.exact("spec.nodeName")), (Some("a"), None));
    }
}
