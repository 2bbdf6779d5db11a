//! What loops see of the cluster and how they change it: the shelf to read from, the front door to write through.
mod front_door;

pub use front_door::{Done, FieldValidation, FrontDoor, Identity, Options, PatchType, Preconditions, Propagation, Target, Verb, Write};
