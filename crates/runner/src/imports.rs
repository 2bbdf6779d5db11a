//! Which imports a component may have, and the names of those that nobody gives. Pure.

/// Interfaces of WASI 0.2 that every guest gets.
const GIVEN: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/timezone",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The imports that nobody here gives.
pub fn missing<'a>(imports: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    imports.filter(|name| !is_given(name)).collect()
}

fn is_given(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    // 0.2.x is one world by semantic versioning; release candidates of it were not.
    let is_version_2 = version.strip_prefix("0.2.").is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()));
    is_version_2 && GIVEN.contains(&interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_nobody_gives() {
        let all = [
            "wasi:cli/exit@0.2.0",
            "wasi:http/types@0.2.12",
            "wasi:keyvalue/store@0.2.0-draft",
            "acme:db/sql@1.0.0",
            "wasi:cli/exit@0.3.0",
            "run",
        ];
        assert_eq!(missing(all.into_iter()), ["wasi:keyvalue/store@0.2.0-draft", "acme:db/sql@1.0.0", "wasi:cli/exit@0.3.0", "run"]);
    }
}
