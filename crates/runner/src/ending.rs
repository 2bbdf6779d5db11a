//! How a container ended, out of how its guest did. Pure.
use crate::memory::OutOfMemory;
use wasmtime_wasi::I32Exit;

/// `terminated.message` holds this much.
const MESSAGE_BYTES: usize = 4096;
/// As a process that aborted: 128 + SIGABRT.
const TRAP: i32 = 134;
/// As a process that was killed: 128 + SIGKILL.
const KILLED: i32 = 137;
/// As a process that SIGTERM ended.
const TERMINATED: i32 = 143;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub code: i32,
    pub reason: &'static str,
    pub message: String,
}

impl Ending {
    /// The guest came to its end, with that code.
    pub fn exit(code: i32) -> Self {
        Self { code, reason: if code == 0 { "Completed" } else { "Error" }, message: String::new() }
    }

    /// A served container that was stopped and had nothing left to do.
    pub fn stopped() -> Self {
        Self::exit(0)
    }

    /// A command that was stopped. WASI 0.2 has no signals, so a guest cannot be asked to end: it ends as a process without a handler for SIGTERM.
    pub fn terminated() -> Self {
        Self::exit(TERMINATED)
    }

    /// The grace period is over and requests were still in flight.
    pub fn killed() -> Self {
        Self::exit(KILLED)
    }

    /// What an error out of a guest means: its own exit, the memory limit, or a trap with its backtrace.
    pub fn of(error: &wasmtime::Error) -> Self {
        if let Some(I32Exit(code)) = error.downcast_ref() {
            return Self::exit(*code);
        }
        if let Some(over) = error.downcast_ref::<OutOfMemory>() {
            return Self { code: KILLED, reason: "OOMKilled", message: over.to_string() };
        }
        let mut message = format!("{error:?}");
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        Self { code: TRAP, reason: "Error", message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Limiter, Memory};
    use wasmtime::ResourceLimiter;

    #[test]
    fn gives_a_guest_its_own_code() {
        for (code, reason) in [(0, "Completed"), (1, "Error"), (42, "Error")] {
            assert_eq!(Ending::of(&wasmtime::Error::from(I32Exit(code))), Ending { code, reason, message: String::new() });
        }
    }

    #[test]
    fn tells_the_memory_limit_from_a_trap() {
        let over = Limiter::new(Memory::new(1)).memory_growing(0, 2, None).unwrap_err();
        let ending = Ending::of(&over.context("while it grew"));
        assert_eq!((ending.code, ending.reason), (137, "OOMKilled"));
        let ending = Ending::of(&wasmtime::Error::msg("é".repeat(MESSAGE_BYTES)));
        assert_eq!((ending.code, ending.reason), (134, "Error"));
        assert!(ending.message.len() <= MESSAGE_BYTES);
    }
}
