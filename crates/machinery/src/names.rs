//! Which names Kubernetes takes, and what it says about the others. Each function returns what is wrong; nothing means that the name is good.

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;
const PORT_NAME_MAX: usize = 15;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

/// A name of one part: namespaces, containers, most objects that become a host name.
pub fn is_dns_label(name: &str) -> Vec<String> {
    limited(name, LABEL_MAX, is_label, LABEL_RULE)
}

/// As [`is_dns_label`], but a letter comes first: Services of older rules.
pub fn is_dns1035_label(name: &str) -> Vec<String> {
    limited(name, LABEL_MAX, |n| is_label(n) && n.starts_with(|c: char| c.is_ascii_lowercase()), LABEL_1035_RULE)
}

/// A name of one or more parts joined by dots: most objects.
pub fn is_dns_subdomain(name: &str) -> Vec<String> {
    limited(name, SUBDOMAIN_MAX, is_subdomain, SUBDOMAIN_RULE)
}

/// `*.example.com`.
pub fn is_wildcard_dns_subdomain(name: &str) -> Vec<String> {
    limited(name, SUBDOMAIN_MAX, |n| n.strip_prefix("*.").is_some_and(is_subdomain), WILDCARD_RULE)
}

/// The key of a label or an annotation: `name` or `example.com/name`.
pub fn is_qualified_name(key: &str) -> Vec<String> {
    let mut wrong = vec![];
    let (prefix, name) = match key.split_once('/') {
        None => (None, key),
        Some((prefix, name)) if !name.contains('/') => (Some(prefix), name),
        Some(_) => {
            return vec![format!(
                "a valid label key {QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    match prefix {
        Some("") => wrong.push("prefix part must be non-empty".into()),
        Some(prefix) => wrong.extend(is_dns_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}"))),
        None => {}
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_word(name) {
        wrong.push(format!("name part {QUALIFIED_RULE}"));
    }
    wrong
}

pub fn is_label_value(value: &str) -> Vec<String> {
    let mut wrong = vec![];
    if value.len() > LABEL_MAX {
        wrong.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !value.is_empty() && !is_word(value) {
        wrong.push(LABEL_VALUE_RULE.into());
    }
    wrong
}

/// The key of a ConfigMap or a Secret, which becomes a file name.
pub fn is_config_map_key(key: &str) -> Vec<String> {
    let mut wrong = vec![];
    if key.len() > SUBDOMAIN_MAX {
        wrong.push(format!("must be no more than {SUBDOMAIN_MAX} characters"));
    }
    if key.is_empty() || !key.bytes().all(is_word_byte) {
        wrong.push(CONFIG_KEY_RULE.into());
    }
    match key {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        _ if key.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// Since 1.34 any printable ASCII but `=` is a good name.
pub fn is_env_var_name(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return vec![];
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()]
}

pub fn is_http_header_name(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') { vec![] } else { vec![HEADER_RULE.into()] }
}

/// The name of a container's or a Service's port.
pub fn is_port_name(name: &str) -> Vec<String> {
    let mut wrong = vec![];
    if name.len() > PORT_NAME_MAX {
        wrong.push(format!("must be no more than {PORT_NAME_MAX} characters"));
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

pub fn is_port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { vec![] } else { vec!["must be between 1 and 65535, inclusive".into()] }
}

pub fn is_ip(address: &str) -> Vec<String> {
    if address.parse::<std::net::IpAddr>().is_ok() {
        vec![]
    } else {
        vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()]
    }
}

/// What of a `generateName` has to be a good name already: a trailing dash will be followed by letters.
pub fn generated_prefix(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(head) if !head.is_empty() => format!("{head}a"),
        _ => prefix.into(),
    }
}

fn limited(name: &str, max: usize, good: impl Fn(&str) -> bool, rule: &str) -> Vec<String> {
    let mut wrong = vec![];
    if name.len() > max {
        wrong.push(format!("must be no more than {max} characters"));
    }
    if !good(name) {
        wrong.push(rule.into());
    }
    wrong
}

fn is_label(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(is_label)
}

fn is_word_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn is_word(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(is_word_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Vec<String>, cases: &[(&str, &[&str])]) {
        for (name, begins) in cases {
            let wrong = rule(name);
            assert_eq!(wrong.len(), begins.len(), "{name:?}: {wrong:?}");
            for (message, begin) in wrong.iter().zip(*begins) {
                assert!(message.starts_with(begin), "{name:?}: {message}");
            }
        }
    }

    #[test]
    fn labels_and_subdomains_are_told_apart() {
        let long = "a".repeat(64);
        check(
            is_dns_label,
            &[("web-1", &[]), ("1", &[]), ("a.b", &["a lowercase RFC 1123 label"]), ("", &["a lowercase"]), ("A", &["a lowercase"])],
        );
        check(is_dns_label, &[("-a", &["a lowercase"]), ("a-", &["a lowercase"]), (&long, &["must be no more than 63 characters"])]);
        check(is_dns1035_label, &[("a1", &[]), ("1a", &["a DNS-1035 label"])]);
        check(
            is_dns_subdomain,
            &[("a.b-c.d", &[]), ("a..b", &["a lowercase RFC 1123 subdomain"]), (".a", &["a lowercase"]), ("a_b", &["a lowercase"])],
        );
        check(is_wildcard_dns_subdomain, &[("*.a.b", &[]), ("a.*.b", &["a wildcard"]), ("*", &["a wildcard"])]);
    }

    #[test]
    fn keys_have_a_prefix_and_a_name() {
        let long = "k".repeat(64);
        check(
            is_qualified_name,
            &[("a", &[]), ("x.io/A_b.c", &[]), ("a/b/c", &["a valid label key must consist"]), ("/a", &["prefix part must be non-empty"])],
        );
        check(
            is_qualified_name,
            &[("", &["name part must be non-empty", "name part must consist"]), (&long, &["name part must be no more than 63 bytes"])],
        );
        check(is_qualified_name, &[("X/a", &["prefix part a lowercase RFC 1123 subdomain"]), ("a b", &["name part must consist"])]);
        check(is_label_value, &[("", &[]), ("A_1.b", &[]), ("b/c", &["a valid label must be an empty string"]), ("-", &["a valid label"])]);
    }

    #[test]
    fn other_names_follow_their_own_rules() {
        check(
            is_config_map_key,
            &[("a.B_c-1", &[]), ("a/b", &["a valid config key"]), ("..", &["must not be '..'"]), ("..a", &["must not start with '..'"])],
        );
        check(is_env_var_name, &[("A b!", &[]), ("a=b", &["a valid environment variable name"]), ("", &["a valid"]), ("ä", &["a valid"])]);
        check(
            is_port_name,
            &[
                ("http", &[]),
                ("80", &["must contain at least one letter"]),
                ("Bad_Name", &["must contain only"]),
                ("a--b", &["must not contain"]),
            ],
        );
        check(is_http_header_name, &[("X-A", &[]), ("X A", &["a valid HTTP header"])]);
        check(is_ip, &[("::1", &[]), ("1.2.3.4", &[]), ("x", &["must be a valid IP address"])]);
    }

    #[test]
    fn a_generated_name_may_end_in_a_dash() {
        for (prefix, begins) in [("web-", "weba"), ("-", "-"), ("web", "web")] {
            assert_eq!(generated_prefix(prefix), begins);
        }
    }
}
