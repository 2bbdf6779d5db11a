//! How scripts name things: `pods`, `deployments/web`, `pods/shop/web-1`, `nodes/n1`.
use knarr_kinds::{Kind, Table};
use knarr_machinery::Key;
use std::sync::Arc;

/// Where objects are that say nothing else.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The row of a collection, by plural, singular or short name.
pub fn collection(kinds: &Table, word: &str) -> Arc<Kind> {
    let is_it = |kind: &&Arc<Kind>| {
        kind.stored.is_none() && (kind.plural == word || kind.singular == word || kind.short.iter().any(|short| *short == word))
    };
    Arc::clone(kinds.rows().iter().find(is_it).unwrap_or_else(|| panic!("the server doesn't have a resource type {word:?}")))
}

/// The row and the key of one object.
pub fn object(kinds: &Table, text: &str) -> (Arc<Kind>, Key) {
    let parts: Vec<&str> = text.split('/').collect();
    let kind = collection(kinds, parts[0]);
    let key = match (&parts[1..], kind.namespaced) {
        ([name], true) => Key::new(DEFAULT_NAMESPACE, name),
        ([namespace, name], true) => Key::new(namespace, name),
        ([name], false) => Key::cluster(name),
        _ => panic!("{text:?} names no object: plural/[namespace/]name"),
    };
    (kind, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_objects_as_people_do() {
        let kinds = Table::new(knarr_kinds::builtin());
        for (text, expected) in [
            ("deployments/web", "apps deployments default/web"),
            ("deploy/shop/web", "apps deployments shop/web"),
            ("pod/web", " pods default/web"),
            ("nodes/n1", " nodes n1"),
            ("events/a.1", " events default/a.1"),
        ] {
            let (kind, key) = object(&kinds, text);
            assert_eq!(format!("{} {} {key}", kind.group, kind.plural), expected, "{text}");
        }
    }
}
