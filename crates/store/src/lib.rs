//! A log of versions: each write takes the next revision, and a watch replays them in order. Knows keys and bytes, never kinds.
//!
//! Both stores share one pure [`ledger`](ledger): who may write, which revision it takes, what expires. They differ in where the values lie:
//! a map, or redb behind one writer thread that commits many writes with one fsync.
pub mod contract;
mod history;
mod hole;
mod ledger;
mod log;
mod memory;
mod redb_store;
mod store;

pub use knarr_machinery::Pending;
pub use memory::MemoryStore;
pub use redb_store::RedbStore;
pub use store::{Change, Changes, Durability, Error, Expect, Keep, Page, Store, Versioned};
