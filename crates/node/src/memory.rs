//! What the agent remembers of one pod: what it did and what it saw of it. Plain data; each fact has one method that records it.
//! Some 300 bytes a pod and 200 a container, because ten thousand of them stay resident.
mod known;
#[cfg(test)]
mod tests;

pub use known::{Here, Known, State, Trouble};

use crate::pod::{Ended, Pod, Recorded, RecordedContainer};
use jiff::Timestamp;
use knarr_runtime::{ContainerId, Observed};
use std::net::IpAddr;

/// The count of looks at the runtime. What a look that began before a start does not show is no news.
pub type Look = u64;

/// The exit code and reason of a container that is no longer there, as Kubernetes has them.
const LOST: (i32, &str) = (137, "ContainerStatusUnknown");
const LOST_MESSAGE: &str = "The container could not be located when the pod was terminated";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub address: Option<IpAddr>,
    /// The address that the pod had before the agent was restarted.
    pub had_address: Option<IpAddr>,
    pub started_at: Option<Timestamp>,
    pub has_volumes: bool,
    /// Why the pod's address or volumes cannot be had.
    pub trouble: Option<Box<Trouble>>,
    /// In the order of `Pod::containers`.
    pub containers: Box<[Known]>,
    pub ending: Option<Ending>,
    /// Its volumes are removed and its address is given back.
    pub is_clean: bool,
    /// The API took our word that nothing of it is left; finalizers may hold the object still.
    pub is_finished: bool,
}

/// The pod as a whole comes to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ending {
    pub why: Why,
    pub since: Timestamp,
    /// Since when nobody sends it requests.
    pub unrouted_at: Option<Timestamp>,
}

/// Why containers that run are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Deleted,
    /// `activeDeadlineSeconds` is over.
    DeadlineExceeded,
    /// Its phase says that it is over, or only sidecars are left.
    Finished,
}

impl Memory {
    /// What a new agent knows: the API's last word on the pod and what the runtime has of it.
    pub fn recall(pod: &Pod, seen: &[Observed], look: Look) -> Self {
        let recorded = pod.recorded();
        let containers = pod.containers().map(|container| {
            let record = find(&recorded, &container.name);
            Known::recall(pod, container, record, seen, look)
        });
        Self {
            had_address: recorded.pod_ip.parse().ok(),
            started_at: recorded.start_time,
            containers: containers.collect(),
            ..Self::default()
        }
    }

    /// What a look at the runtime showed of this pod.
    pub fn see(&mut self, uid: &str, seen: &[Observed], look: Look, now: Timestamp) {
        for known in &mut self.containers {
            if let Some(ended) = known.news(uid, seen, look, now) {
                known.end(ended);
            }
        }
    }

    /// Whether that would be news.
    pub fn would_see(&self, uid: &str, seen: &[Observed], look: Look) -> bool {
        self.containers.iter().any(|known| known.news(uid, seen, look, Timestamp::UNIX_EPOCH).is_some())
    }

    pub fn begin_end(&mut self, why: Why, now: Timestamp) {
        // A deletion overrides every other end: it alone removes the object.
        if self.ending.is_none_or(|ending| ending.why != why && why == Why::Deleted) {
            self.ending = Some(Ending { why, since: now, unrouted_at: None });
        }
    }

    pub fn unrouted(&mut self, now: Timestamp) {
        if let Some(ending) = &mut self.ending {
            ending.unrouted_at.get_or_insert(now);
        }
    }

    pub fn cleaned(&mut self) {
        self.address = None;
        self.is_clean = true;
    }

    /// Something that was missing may be there now: no reason to wait for it any longer.
    pub fn retry(&mut self, now: Timestamp) {
        let is_config = |trouble: &&mut Box<Trouble>| matches!(trouble.reason, "CreateContainerConfigError" | "FailedMount");
        let all = self.containers.iter_mut().map(|known| &mut known.trouble).chain([&mut self.trouble]);
        for trouble in all.flatten() {
            if is_config(&trouble) {
                trouble.until = trouble.until.min(now);
            }
        }
    }

    pub fn any_running(&self) -> bool {
        self.containers.iter().any(Known::is_running)
    }
}

fn find<'a>(recorded: &'a Recorded, name: &str) -> Option<&'a RecordedContainer> {
    recorded.init_container_statuses.iter().chain(&recorded.container_statuses).find(|status| *status.name == *name)
}

/// How `containerID` writes a container.
pub fn container_id(uid: &str, name: &str, attempt: u32) -> Box<str> {
    format!("knarr://{}", ContainerId::new(uid, name, attempt)).into()
}

/// The end of a container of which nothing is left.
fn lost(uid: &str, name: &str, attempt: u32, started_at: Option<Timestamp>, now: Option<Timestamp>) -> Ended {
    let (exit_code, reason) = LOST;
    let container_id = container_id(uid, name, attempt);
    Ended { exit_code, reason: reason.into(), message: LOST_MESSAGE.into(), started_at, finished_at: now, container_id }
}
