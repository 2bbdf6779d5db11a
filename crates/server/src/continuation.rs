//! The `continue` of a list: at which revision it began and where it goes on. Outlives the process. Pure.
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use knarr_machinery::{Key, Revision, Status};
use serde::{Deserialize, Serialize};
use std::fmt;

const FORMAT: &str = "meta.k8s.io/v1";

#[derive(Debug, Clone, PartialEq)]
pub struct Continuation {
    pub revision: Revision,
    /// The last object that was listed.
    pub after: Key,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: u64,
    #[serde(default)]
    start: String,
}

impl Continuation {
    pub fn parse(text: &str) -> Result<Option<Self>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| invalid(&error.to_string()))?;
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
        if wire.v != FORMAT {
            return Err(invalid(&format!("server does not recognize this encoded version {}", wire.v)));
        }
        let (namespace, name) = wire.start.split_once('/').unwrap_or(("", &wire.start));
        Ok(Some(Self { revision: Revision(wire.rv), after: Key::new(namespace, name) }))
    }

    pub fn is_before(&self, key: &Key) -> bool {
        *key > self.after
    }
}

impl fmt::Display for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire { v: FORMAT.into(), rv: self.revision.0, start: self.after.to_string() };
        f.write_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).map_err(|_| fmt::Error)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_way_to_the_client() {
        for after in [Key::new("ns", "a"), Key::cluster("a")] {
            let token = Continuation { revision: Revision(7), after };
            assert_eq!(Continuation::parse(&token.to_string()).unwrap().unwrap(), token);
        }
        assert_eq!(Continuation::parse("").unwrap(), None);
    }

    #[test]
    fn a_garbled_one_is_told() {
        let said = |text: &str| Continuation::parse(text).unwrap_err().message;
        assert_eq!(said("e30"), "invalid continue token: continue key is not valid: server does not recognize this encoded version ");
        assert!(said("%%%").starts_with("invalid continue token: continue key is not valid: "));
        assert!(said("YQ").starts_with("invalid continue token: continue key is not valid: "));
    }
}
