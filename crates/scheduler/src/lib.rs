//! Chooses a node for a pod.
mod decide;
mod node_info;
mod plugins;
mod queue;
mod resources;
mod run;
mod snapshot;

pub use decide::{Candidate, Decision, Refusal, decide};
pub use node_info::{NodeInfo, Share, Usage};
pub use plugins::{Plugin, Scale, all};
pub use resources::{Amounts, Demand, Supply};
pub use run::run;
