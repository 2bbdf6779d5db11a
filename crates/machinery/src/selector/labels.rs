//! Label selectors as strings: `app=web,tier in (a,b),!legacy`.
use crate::{Status, names};
use std::{borrow::Borrow, collections::BTreeMap, fmt};

/// Requirements that must all hold; none at all selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub key: Box<str>,
    pub operator: Operator,
    pub values: Vec<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Greater,
    Less,
}

impl Labels {
    /// Sorts by key, as the real server writes them back.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        requirements.iter_mut().for_each(|r| r.values.sort());
        Self { requirements }
    }

    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        parser.selector().map(Self::new).map_err(Status::bad_request)
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    pub fn matches<K: Borrow<str> + Ord, V: AsRef<str>>(&self, labels: &BTreeMap<K, V>) -> bool {
        self.requirements.iter().all(|r| r.matches(labels.get(&*r.key).map(AsRef::as_ref)))
    }
}

impl Requirement {
    fn matches(&self, have: Option<&str>) -> bool {
        let listed = |have: &str| self.values.iter().any(|v| &**v == have);
        let number = |text: &str| text.parse::<i64>().ok();
        let wanted = || self.values.first().and_then(|v| number(v));
        match self.operator {
            Operator::Equals | Operator::In => have.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !have.is_some_and(listed),
            Operator::Exists => have.is_some(),
            Operator::DoesNotExist => have.is_none(),
            Operator::Greater => have.and_then(number).zip(wanted()).is_some_and(|(have, wanted)| have > wanted),
            Operator::Less => have.and_then(number).zip(wanted()).is_some_and(|(have, wanted)| have < wanted),
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut wrong: Vec<_> =
            names::is_qualified_name(&self.key).iter().map(|m| format!("key: Invalid value: {:?}: {m}", self.key)).collect();
        if matches!(self.operator, Operator::Greater | Operator::Less) {
            let text = self.values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err());
            wrong.extend(
                text.map(|(at, v)| format!("values[{at}]: Invalid value: {v:?}: for 'Gt', 'Lt' operators, the value must be an integer")),
            );
        }
        for (at, value) in self.values.iter().enumerate() {
            wrong.extend(names::is_label_value(value).iter().map(|m| format!("values[{at}][{}]: Invalid value: {value:?}: {m}", self.key)));
        }
        match &wrong[..] {
            [] => Ok(()),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, r) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            let list = || r.values.join(",");
            match r.operator {
                Operator::Equals => write!(f, "{}={}", r.key, list())?,
                Operator::NotEquals => write!(f, "{}!={}", r.key, list())?,
                Operator::In => write!(f, "{} in ({})", r.key, list())?,
                Operator::NotIn => write!(f, "{} notin ({})", r.key, list())?,
                Operator::Exists => f.write_str(&r.key)?,
                Operator::DoesNotExist => write!(f, "!{}", r.key)?,
                Operator::Greater => write!(f, "{}>{}", r.key, list())?,
                Operator::Less => write!(f, "{}<{}", r.key, list())?,
            }
        }
        Ok(())
    }
}

/// Symbols stand for themselves; everything between them and white space is a word. The end is an empty token.
fn tokens(text: &str) -> Vec<&str> {
    let is_symbol = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let mut tokens = vec![];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if is_symbol(first) {
            1
        } else {
            rest.find(|c: char| is_symbol(c) || c.is_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

struct Parser<'t> {
    tokens: Vec<&'t str>,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> &'t str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self) -> &'t str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = vec![];
        loop {
            match self.peek() {
                "" => return Ok(requirements),
                token if token == "!" || is_word(token) => {
                    let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(requirement);
                    match self.take() {
                        "" => return Ok(requirements),
                        "," if self.peek() == "!" || is_word(self.peek()) => {}
                        "," => return Err(format!("found '{}', expected: identifier after ','", self.peek())),
                        other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
                    }
                }
                token => return Err(format!("found '{token}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == "!";
        if absent {
            self.at += 1;
        }
        let key = self.take();
        if !is_word(key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let (operator, values) = match self.peek() {
            _ if absent => (Operator::DoesNotExist, vec![]),
            "" | "," => (Operator::Exists, vec![]),
            _ => self.comparison()?,
        };
        let requirement = Requirement { key: key.into(), operator, values };
        requirement.check()?;
        Ok(requirement)
    }

    fn comparison(&mut self) -> Result<(Operator, Vec<Box<str>>), String> {
        let operator = match self.take() {
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => vec![self.value()?],
        };
        Ok((operator, values))
    }

    /// One value; nothing before a comma or the end is the empty value.
    fn value(&mut self) -> Result<Box<str>, String> {
        match self.peek() {
            "" | "," => Ok("".into()),
            token if is_word(token) => Ok(self.take().into()),
            token => Err(format!("found '{token}', expected: identifier")),
        }
    }

    fn set(&mut self) -> Result<Vec<Box<str>>, String> {
        match self.take() {
            "(" => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values: Vec<Box<str>> = vec![];
        loop {
            let value = if is_word(self.peek()) { self.take() } else { "" };
            values.push(value.into());
            match self.take() {
                "," => {}
                ")" => break,
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(['=', '!', '(', ')', ',', '>', '<'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_by_every_operator() {
        let labels = BTreeMap::from([("env", "prod"), ("n", "5"), ("empty", ""), ("in", "notin")]);
        for (text, expected) in [
            ("", true),
            ("env", true),
            ("!env", false),
            ("! none", true),
            ("env=prod", true),
            ("env==prod,n=5", true),
            ("env != prod", false),
            ("none!=x", true),
            ("env in (prod, dev)", true),
            ("env notin (prod)", false),
            ("none notin (prod)", true),
            ("none in (a)", false),
            ("n>4,n<6", true),
            ("n>5", false),
            ("env>1", false),
            ("empty=", true),
            ("empty=,env=prod", true),
            ("empty in ()", true),
            ("env in (,prod)", true),
            ("in=notin", true),
            ("in in (notin)", true),
        ] {
            assert_eq!(Labels::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn says_where_it_stopped_reading() {
        for (text, begin) in [
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a,,b", "found ',', expected: identifier after ','"),
            ("a,", "found '', expected: identifier after ','"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a=(", "unable to parse requirement: found '(', expected: identifier"),
            ("n>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
            ("a=b/c", "unable to parse requirement: values[0][a]: Invalid value: \"b/c\": a valid label must be an empty string"),
            ("a/b/c", "unable to parse requirement: key: Invalid value: \"a/b/c\": a valid label key must"),
        ] {
            let status = Labels::parse(text).unwrap_err();
            assert!(status.code == 400 && status.message.starts_with(begin), "{text}: {}", status.message);
        }
    }

    #[test]
    fn is_written_back_in_order() {
        let labels = Labels::parse("z,b in (y,x),!a,n>4,k!=v,e=").unwrap();
        assert_eq!(labels.to_string(), "!a,b in (x,y),e=,k!=v,n>4,z");
        assert_eq!(Labels::parse(&labels.to_string()).unwrap(), labels);
    }
}
