//! OCI artifacts that hold Wasm: pull, push, content store, embedded registry.
pub mod text;
