//! A whole cluster in memory with time under control: the real server, controllers, scheduler and node agents over a store in memory, a
//! runtime without guests and a network of numbers.
//!
//! Nothing is decided here. A script says what is given (`apply`, `guest`, `answer`), what happens (`crash`, `silence`, `advance`) and waits,
//! in virtual time, until something is so (`until`). It belongs into a test with `#[tokio::test(start_paused = true)]`: time stands still
//! while anybody has something to do, and jumps to the next timer when nobody has. A failed wait shows the cluster as kubectl would.
mod address;
mod answers;
mod cluster;
mod control_plane;
mod guests;
mod history;
mod images;
mod link;
mod network;
mod node;
mod script;
mod show;

pub use answers::Answer;
pub use cluster::{Builder, Cluster};
pub use history::History;
pub use knarr_image::PullError;
pub use knarr_runtime::{Error as RuntimeError, Script};
pub use node::Node;
