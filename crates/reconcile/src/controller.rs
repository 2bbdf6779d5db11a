//! What a control loop is: look, decide. Only the shell acts.
use crate::{Action, Pace, Plan, Source};
use jiff::Timestamp;
use knarr_cluster::Shelf;
use knarr_machinery::Status;
use std::{fmt, hash::Hash};

pub trait Controller: Send + Sync + 'static {
    /// As `kube-controller-manager --controllers` calls it.
    const NAME: &'static str;
    /// What one pass is about: mostly the key of an object.
    type Key: Clone + Ord + Hash + fmt::Display + Send + Sync + 'static;
    /// Everything that `reconcile` may look at.
    type Look: Send + Sync;

    /// The collections whose changes wake this loop.
    fn sources(&self) -> Vec<Source<Self::Key>>;

    /// How fast passes over one key may follow each other when each of them writes.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// Gathers what there is to see for one key, or nothing if there is nothing left to care for. Looks up, decides nothing.
    fn look(&self, shelf: &Shelf, key: &Self::Key) -> Option<Self::Look>;

    /// Decides. No I/O, no clock, no randomness: same look, same plan.
    fn reconcile(&self, look: &Self::Look, now: Timestamp) -> Plan;

    /// What to write down about a plan that could not be carried out. Pure as well. The key comes again whatever this says.
    fn failed(&self, _look: &Self::Look, _failures: &[Failure], _now: Timestamp) -> Plan {
        Plan::nothing()
    }
}

/// An action that the front door refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub action: Action,
    pub status: Status,
}
