//! The node agent: what a kubelet is to its node. It watches the pods of one node and makes them true there, and tells the API what is.
//!
//! - Each pod has a small record (`slots`), and a worker (`worker`) only while there is something to do for it.
//! - `sync` decides, purely, from the pod, what is remembered of it (`memory`) and the time; the worker acts and remembers.
//! - `status` says, purely, what the pod's status has to be; the worker writes the difference.
//! - One task keeps all times (`timers`), one looks at the runtime (`observer`), and probes (`prober`) speak only when their verdict changes.
//! - After a restart everything is read back from the API, the runtime and the disk; what runs is adopted, never restarted.
mod agent;
mod api;
mod back_off;
mod config;
mod environment;
mod error;
mod images;
mod kubelet;
mod launch;
mod logs;
mod machine;
mod memory;
mod observer;
mod pod;
mod probe;
mod prober;
mod registration;
mod slots;
mod status;
mod surroundings;
mod sync;
mod teller;
mod timers;
mod volumes;
mod waiting;
mod worker;

pub use agent::Agent;
pub use config::{Config, Kubelet};
pub use error::Error;
pub use images::ImageSource;
