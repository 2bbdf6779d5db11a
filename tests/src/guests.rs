//! Guests for tests, built from text: no Wasm toolchain is needed.
use knarr_image::text as from_text;

/// The demo's HTTP component: answers with its pod's name and the path.
pub fn hello() -> Vec<u8> {
    from_text::component(include_str!("../../examples/hello-wat/hello.wat"), include_str!("../../examples/hello-wat/hello.wit"))
        .expect("the example builds")
}

/// A guest out of WAT that is whole by itself: a core command, or a component written out.
pub fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).expect("the test's WAT is right")
}

/// Small commands, each with one thing to show. Core modules of WASI preview 1.
#[derive(Debug, Clone, Copy)]
pub enum Guest {
    /// Writes a line and ends well.
    Greets,
    /// Ends with this code.
    Exits(u8),
    /// Runs into `unreachable`.
    Traps,
    /// Takes memory until it is refused, and goes on asking.
    Hogs,
    /// Never ends, but waits politely.
    Sleeps,
}

impl Guest {
    pub fn wasm(self) -> Vec<u8> {
        let start = match self {
            Self::Greets => r#"(i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 6)) (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"#.to_owned(),
            Self::Exits(code) => format!("(call $exit (i32.const {code}))"),
            Self::Traps => "unreachable".to_owned(),
            Self::Hogs => "(loop $again (drop (memory.grow (i32.const 16))) (br $again))".to_owned(),
            // One subscription to the monotonic clock: an hour, again and again.
            Self::Sleeps => r#"(i64.store (i32.const 64) (i64.const 0)) (i32.store (i32.const 72) (i32.const 0)) (i32.store (i32.const 80) (i32.const 1))
                (i64.store (i32.const 88) (i64.const 3600000000000)) (loop $again (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 160))) (br $again))"#
                .to_owned(),
        };
        text(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (data (i32.const 16) "hello\n")
                (func (export "_start") {start}))"#
        ))
    }
}
