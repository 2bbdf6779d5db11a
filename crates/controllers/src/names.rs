//! The controllers by name, and which of them run, as `kube-controller-manager --controllers` says it.
use crate::Error;

/// One controller: its name, the name that older versions knew it by, and the account in `kube-system` that it acts as.
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) alias: &'static str,
    pub(crate) account: &'static str,
}

pub(crate) const ALL: [Name; 11] = [
    Name { name: "deployment-controller", alias: "deployment", account: "deployment-controller" },
    Name { name: "replicaset-controller", alias: "replicaset", account: "replicaset-controller" },
    Name { name: "endpoints-controller", alias: "endpoint", account: "endpoint-controller" },
    Name { name: "endpointslice-controller", alias: "endpointslice", account: "endpointslice-controller" },
    Name { name: "serviceaccount-controller", alias: "serviceaccount", account: "service-account-controller" },
    Name { name: "root-ca-certificate-publisher-controller", alias: "root-ca-cert-publisher", account: "root-ca-cert-publisher" },
    Name { name: "namespace-controller", alias: "namespace", account: "namespace-controller" },
    Name { name: "garbage-collector-controller", alias: "garbagecollector", account: "generic-garbage-collector" },
    Name { name: "node-lifecycle-controller", alias: "nodelifecycle", account: "node-controller" },
    Name { name: "node-ipam-controller", alias: "nodeipam", account: "node-controller" },
    Name { name: "pod-garbage-collector-controller", alias: "podgc", account: "pod-garbage-collector" },
];

/// The names of all controllers there are.
pub const NAMES: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        names[index] = ALL[index].name;
        index += 1;
    }
    names
};

/// Which controllers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    all: bool,
    on: Vec<&'static str>,
    off: Vec<&'static str>,
}

impl Selection {
    /// Reads `*`, `-*`, and names with or without a minus, separated by commas. A name beats a star, and the first mention of a name counts.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut selection = Self { all: false, on: vec![], off: vec![] };
        let mut star = None;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (is_off, name) = word.strip_prefix('-').map_or((false, word), |name| (true, name));
            if name == "*" {
                star.get_or_insert(!is_off);
                continue;
            }
            let known = ALL
                .iter()
                .find(|known| known.name == name || known.alias == name)
                .ok_or_else(|| Error::UnknownController(name.to_owned()))?;
            if !selection.on.contains(&known.name) && !selection.off.contains(&known.name) {
                if is_off { &mut selection.off } else { &mut selection.on }.push(known.name);
            }
        }
        selection.all = star.unwrap_or(false);
        Ok(selection)
    }

    pub fn all() -> Self {
        Self { all: true, on: vec![], off: vec![] }
    }

    pub fn has(&self, name: &str) -> bool {
        self.on.contains(&name) || (self.all && !self.off.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first letters of the controllers that a text selects.
    fn selected(text: &str) -> String {
        let selection = Selection::parse(text).expect("known names");
        let all = NAMES.iter().filter(|name| selection.has(name)).count();
        if all == NAMES.len() {
            "all".into()
        } else {
            NAMES.iter().filter(|name| selection.has(name)).copied().collect::<Vec<_>>().join(" ")
        }
    }

    #[test]
    fn selects_as_the_controller_manager_does() {
        for (text, expected) in [
            ("*", "all"),
            ("-*", ""),
            ("", ""),
            ("-*,namespace-controller", "namespace-controller"),
            ("namespace,podgc", "namespace-controller pod-garbage-collector-controller"),
            ("deployment-controller,-deployment-controller", "deployment-controller"),
            ("namespace-controller,-*,*", "namespace-controller"),
        ] {
            assert_eq!(selected(text), expected, "{text}");
        }
        assert!(!Selection::parse("*,-endpoint").unwrap().has("endpoints-controller"));
    }

    #[test]
    fn names_what_it_does_not_know() {
        assert_eq!(Selection::parse("*,-frobnicate").unwrap_err().to_string(), "\"frobnicate\" is not in the list of known controllers");
    }
}
