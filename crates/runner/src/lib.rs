//! The processes that touch guests: roles runner and compiler. The only crate that links wasmtime.
//!
//! A runner serves one isolation domain. It has three kinds of threads: the first one speaks with the agent, one accepts connections for
//! all pods, and a pool runs guests. So a busy guest neither keeps the agent nor a connection waiting.
//!
//! Both roles must be entered before the process has a second thread: they give up their rights first.
mod accept;
mod agent;
mod arguments;
mod command;
mod compiler;
mod containers;
mod control;
mod cpu;
mod ending;
mod engine;
mod error;
mod guest;
mod http;
mod imports;
mod live;
mod load;
mod log;
mod memory;
mod outgoing;
mod request;
mod runner;
mod sandbox;

pub use compiler::run_compiler;
pub use error::Error;
pub use runner::run_runner;
pub use sandbox::{has_landlock, has_seccomp};
