//! The agent, as the runner knows it: whom to report to, and whom to ask for connections.
use knarr_runtime::{
    connection::Sender,
    protocol::{ConnectError, FromRunner},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// Connections asked for at once, in the whole runner. One more fails.
const ASKED_MAX: usize = 1_024;

type Asked = oneshot::Sender<Result<OwnedFd, ConnectError>>;

#[derive(Default)]
pub struct Agent {
    /// The latest connection's; an agent that is restarted takes the place of the one before.
    sender: Mutex<Option<(u64, Sender)>>,
    asked: Mutex<HashMap<u64, Asked>>,
    next: AtomicU64,
}

impl Agent {
    /// Takes the place of the agent before. Gives what `detach` wants.
    pub fn attach(&self, sender: Sender) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        *self.sender.lock().expect(POISON) = Some((number, sender));
        number
    }

    /// That connection is gone. Whoever waits for an answer over it gets none.
    pub fn detach(&self, number: u64) {
        let mut sender = self.sender.lock().expect(POISON);
        if sender.as_ref().is_some_and(|(held, _)| *held == number) {
            *sender = None;
            self.asked.lock().expect(POISON).clear();
        }
    }

    pub fn sender(&self) -> Option<Sender> {
        self.sender.lock().expect(POISON).as_ref().map(|(_, sender)| sender.clone())
    }

    /// A connected socket. Without an agent nothing outside can be reached.
    pub async fn connect(&self, address: SocketAddr) -> Result<OwnedFd, ConnectError> {
        let sender = self.sender().ok_or(ConnectError::Unreachable)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (asked, answered) = oneshot::channel();
        {
            let mut all = self.asked.lock().expect(POISON);
            // Who gave up waiting is swept out here.
            all.retain(|_, asked| !asked.is_closed());
            if all.len() >= ASKED_MAX {
                return Err(ConnectError::Unreachable);
            }
            all.insert(id, asked);
        }
        sender.send(&FromRunner::Connect { id, address }, vec![]).await.map_err(|_| ConnectError::Unreachable)?;
        answered.await.unwrap_or(Err(ConnectError::Unreachable))
    }

    pub fn connected(&self, id: u64, outcome: Result<OwnedFd, ConnectError>) {
        if let Some(asked) = self.asked.lock().expect(POISON).remove(&id) {
            // Who asked may have given up: then the socket is closed again.
            let _ = asked.send(outcome);
        }
    }
}

const POISON: &str = "a lock of the agent is never poisoned";
