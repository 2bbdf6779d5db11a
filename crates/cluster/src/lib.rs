//! What loops see of the cluster and how they change it: the shelf to read from, the front door to write through.
mod clock;
mod cluster;
mod entry;
mod front_door;
mod interest;
mod recorder;
pub mod remote;
mod shelf;
mod view;
pub mod views;

pub use clock::Clock;
pub use cluster::Cluster;
pub use entry::Entry;
pub use front_door::{Done, FieldValidation, FrontDoor, Identity, Options, PatchType, Preconditions, Propagation, Target, Verb, Write};
pub use interest::{Everything, Interest, Wanted};
pub use recorder::{ObjectRef, Recorder, Type};
pub use shelf::{Change, Expired, Seen, Shelf, Size, Step, Watch};
pub use view::View;
