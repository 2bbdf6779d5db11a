//! What the agent and a runner say to each other over the runner's control socket. Frames are `connection`'s business.
//! The runner listens, so that a restarted agent finds the runners that outlived it. All descriptors travel beside the frame, in the order named here.
use crate::{Container, ContainerId, Error, Listen, Observed, Routes, Usage, seal};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, sync::Arc};

/// From the agent. A call is answered by one `FromRunner::Reply` of the same id; calls may be answered out of order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToRunner {
    Call {
        id: u64,
        call: Call,
    },
    /// The whole table, replaced. An older version than the one in use is dropped.
    Route(Arc<Routes>),
    /// To `FromRunner::Connect`. With the connected socket, or with why there is none.
    Connected {
        id: u64,
        outcome: Result<(), ConnectError>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// First on every connection: the key that seals compiled code.
    Hello {
        key: seal::Key,
    },
    /// With descriptors: the compiled code, the log, a listener for each of `container.listen`, a folder for each of `container.mounts`.
    Start {
        container: Box<Container>,
        code: Code,
    },
    Stop {
        id: ContainerId,
        grace_ms: u64,
    },
    Remove {
        id: ContainerId,
    },
    /// Write on into another file, whose descriptor comes with this: the log was rotated.
    Reopen {
        id: ContainerId,
    },
    Observe,
    Usage,
    /// Asks for duplicates of all listeners after the first `skip`, for an agent that has been restarted.
    Listeners {
        skip: usize,
    },
    /// Stop everything, each with this grace, answer, and end.
    End {
        grace_ms: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    /// To a stop: how it ended.
    Ended(Observed),
    /// To a start: the seal does not hold, the code was not loaded. It has to be compiled again.
    Unsealed,
    Observed(Vec<Observed>),
    Usage(Vec<(ContainerId, Usage)>),
    /// With a descriptor for each, at most `connection::DESCRIPTORS_MAX`; `more` says that others are left out.
    Listeners {
        listeners: Vec<Listener>,
        more: bool,
    },
    Refused(Error),
}

/// A listening socket that a runner holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub pod_uid: String,
    pub listen: Listen,
}

/// A cache entry: what the compiler made of a Wasm file, and the seal that says that it was the compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// `sha256:...` of the Wasm.
    pub wasm_digest: String,
    /// Names the engine and its settings, which must be the loading engine's own.
    pub engine: String,
    /// HMAC-SHA256 over the code and both of the above, in hex.
    pub seal: String,
}

/// From a runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromRunner {
    Reply {
        id: u64,
        reply: Reply,
    },
    /// A container came to be or ended.
    Changed(Observed),
    /// A guest calls an address outside this runner, which has no network. The agent checks the address against its own table.
    Connect {
        id: u64,
        address: SocketAddr,
    },
}

/// Why the agent handed no connection over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectError {
    /// The routing table does not allow it.
    Prohibited,
    Refused,
    TimedOut,
    Unreachable,
}

/// What the compiler says, as the last line of JSON on its stderr. Wasm comes in on its stdin, machine code goes out on its stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Compiled {
    /// Names the engine that the code is for.
    Done {
        engine: String,
    },
    Refused(Error),
}
