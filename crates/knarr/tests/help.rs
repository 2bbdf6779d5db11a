//! The command line as people meet it. Being here makes `cargo test --workspace` build the binary that `tests/` starts.
use std::process::{Command, Stdio};

#[test]
fn help_teaches_and_mistakes_are_named() {
    for (arguments, words) in [
        (vec!["--help"], "knarr demo"),
        (vec!["up", "--help"], "--registry-port"),
        (vec!["server", "--help"], "kube-controller-manager"),
        (vec!["up", "--node-ports", "9-1"], "expected FIRST-LAST"),
        (vec!["sail"], "unrecognized subcommand"),
        (vec!["inspect", "no-such-file"], "no-such-file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_knarr")).args(&arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
