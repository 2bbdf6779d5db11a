//! A loop's whole world: what it reads, how it writes, what time it is.
use crate::{Clock, FrontDoor, Shelf};
use std::sync::Arc;

/// Handed to every loop, in the server and in agents alike. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    pub shelf: Arc<Shelf>,
    pub door: Arc<dyn FrontDoor>,
    pub clock: Clock,
}
