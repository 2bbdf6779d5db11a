//! A node's way to the API, which can be cut.
use knarr_cluster::{Done, FrontDoor, Identity, Write};
use knarr_machinery::{Pending, Status};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Cuts what a node writes. What it reads is the shared shelf, which it goes on to see: to the control plane both look the same.
pub struct Link {
    door: Arc<dyn FrontDoor>,
    is_cut: AtomicBool,
}

impl Link {
    pub fn new(door: Arc<dyn FrontDoor>) -> Self {
        Self { door, is_cut: AtomicBool::new(false) }
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

impl FrontDoor for Link {
    fn submit<'a>(&'a self, who: &'a Identity, write: Write) -> Pending<'a, Result<Done, Status>> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Status::unavailable("connect: no route to host")) });
        }
        self.door.submit(who, write)
    }
}
