//! What a control loop is: look, decide, act. Controllers look and decide; the one shell here acts.
mod act;
mod controller;
pub mod fake;
mod pace;
mod plan;
mod queue;
mod run;
mod source;

pub use controller::{Controller, Failure};
pub use pace::Pace;
pub use plan::{Action, Deletion, Object, Plan, Said};
pub use queue::{Outcome, Pass, Queue};
pub use run::run;
pub use source::{Change, Source, owner};
