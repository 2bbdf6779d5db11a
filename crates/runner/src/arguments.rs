//! The command lines of the roles. Only the agent writes them, so they are plain `--name value` pairs.
use crate::Error;
use std::{path::PathBuf, time::Duration};

/// `knarr runner ...`. The control socket, which listens already, is its stdin.
#[derive(Debug, PartialEq)]
pub struct Runner {
    pub domain: String,
    /// The only folder that its guests may see.
    pub root: PathBuf,
    /// The only folder that code is loaded from.
    pub code: PathBuf,
    /// The user that it becomes; None: it stays who it is.
    pub uid: Option<u32>,
    /// The user that may speak on the control socket.
    pub agent_uid: u32,
    pub idle: Duration,
}

/// `knarr compiler ...`. Wasm on stdin, code to stdout, the answer to stderr.
#[derive(Debug, PartialEq)]
pub struct Compiler {
    /// Say only which engine this is.
    pub describe: bool,
    pub uid: Option<u32>,
    pub limit: Duration,
}

struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn parse(arguments: Vec<String>) -> Result<Self, Error> {
        let mut left = arguments.into_iter();
        let mut pairs = Vec::new();
        while let Some(name) = left.next() {
            let value = left.next().ok_or_else(|| Error::Arguments(format!("{name} has no value")))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.optional(name).ok_or_else(|| Error::Arguments(format!("{name} is missing")))
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Error> {
        let parse = |text: &str| text.parse().map_err(|_| Error::Arguments(format!("{name} is not a number: {text}")));
        self.optional(name).map(parse).transpose()
    }

    fn needed<N: std::str::FromStr>(&self, name: &str) -> Result<N, Error> {
        self.number(name)?.ok_or_else(|| Error::Arguments(format!("{name} is missing")))
    }
}

impl Runner {
    pub fn parse(arguments: Vec<String>) -> Result<Self, Error> {
        let pairs = Pairs::parse(arguments)?;
        Ok(Self {
            domain: pairs.text("--domain")?.to_owned(),
            root: pairs.text("--root")?.into(),
            code: pairs.text("--code")?.into(),
            uid: pairs.number("--uid")?,
            agent_uid: pairs.needed("--agent-uid")?,
            idle: Duration::from_millis(pairs.needed("--idle-ms")?),
        })
    }
}

impl Compiler {
    pub fn parse(arguments: Vec<String>) -> Result<Self, Error> {
        let pairs = Pairs::parse(arguments)?;
        Ok(Self {
            describe: pairs.optional("--describe").is_some(),
            uid: pairs.number("--uid")?,
            limit: Duration::from_secs(pairs.needed("--limit-s")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn reads_what_the_agent_writes() {
        let runner =
            Runner::parse(words("--domain shop --root /d/shop --code /d/code --uid 1700000001 --agent-uid 0 --idle-ms 60000")).unwrap();
        assert_eq!((runner.domain.as_str(), runner.uid, runner.agent_uid, runner.idle.as_secs()), ("shop", Some(1_700_000_001), 0, 60));
        let compiler = Compiler::parse(words("--limit-s 30")).unwrap();
        assert_eq!(compiler, Compiler { describe: false, uid: None, limit: Duration::from_secs(30) });
    }

    #[test]
    fn says_what_is_missing_or_wrong() {
        for (line, want) in [
            ("--domain", "--domain has no value"),
            ("--domain x", "--root is missing"),
            ("--domain x --root / --code / --uid x", "--uid is not a number: x"),
        ] {
            assert_eq!(Runner::parse(words(line)).unwrap_err().to_string(), want);
        }
    }
}
