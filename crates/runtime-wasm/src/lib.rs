//! Runtime over runner processes: compiles images, spawns a runner for each isolation domain, hands listeners over, adopts runners that
//! outlived the agent. No guest's code is ever mapped into this process.
mod cache;
mod cgroup;
mod compile;
mod config;
mod descriptors;
mod domain;
mod link;
mod spawn;
mod users;
mod wasm_runtime;

pub use cgroup::has_control_groups;
pub use config::{Config, Connect, HostConnect, Isolation};
pub use wasm_runtime::WasmRuntime;
