//! A pod network of numbers. Only who is probed has a socket: probes are real requests.
use crate::{
    answers::{Answer, Answers},
    images,
};
use knarr_machinery::Pending;
use knarr_runtime::{Container, FakeRuntime, NetworkError, PodNetwork, Runtime, State};
use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Real time, for a thread that waits for what was sent in this process already.
const LONGEST_REQUEST: Duration = Duration::from_secs(10);
/// What is read of a request's head at most: probes send some hundred bytes.
const HEAD_BYTES: usize = 16 << 10;

pub struct FakeNetwork {
    /// The second number of every address.
    node: u8,
    runtime: Arc<FakeRuntime>,
    answers: Arc<Answers>,
    claimed: Mutex<Claimed>,
}

#[derive(Default)]
struct Claimed {
    by_pod: BTreeMap<String, IpAddr>,
    /// Counts up, so that no address is soon used again.
    given: u16,
}

impl FakeNetwork {
    pub fn new(node: u8, runtime: Arc<FakeRuntime>, answers: Arc<Answers>) -> Self {
        Self { node, runtime, answers, claimed: Mutex::default() }
    }

    /// What a guest at this address says. Where nothing runs, nobody listens.
    async fn answer(&self, address: SocketAddr) -> Answer {
        let uid = {
            let claimed = self.claimed.lock().expect("no panic while held");
            claimed.by_pod.iter().find(|(_, ip)| **ip == address.ip()).map(|(uid, _)| uid.clone())
        };
        let (Some(uid), Ok(seen)) = (uid, self.runtime.observe().await) else { return Answer::Refuses };
        let runs = |container: &Container| {
            seen.iter().any(|observed| observed.id == container.id() && matches!(observed.state, State::Running { .. }))
        };
        let mut here: Vec<_> = self.runtime.started().into_iter().filter(|container| container.pod_uid == uid && runs(container)).collect();
        here.sort_by_key(|container| !container.listen.iter().any(|listen| listen.address == address));
        here.first().map_or(Answer::Refuses, |container| self.answers.get(&container.pod, images::name(&container.image.digest)))
    }
}

impl PodNetwork for FakeNetwork {
    fn claim(&self, pod_uid: &str, had: Option<IpAddr>) -> Result<IpAddr, NetworkError> {
        let mut claimed = self.claimed.lock().expect("no panic while held");
        if let Some(address) = claimed.by_pod.get(pod_uid).copied().or(had) {
            claimed.by_pod.insert(pod_uid.to_owned(), address);
            return Ok(address);
        }
        claimed.given = claimed.given.checked_add(1).ok_or_else(|| NetworkError::Exhausted(format!("10.{}.0.0/16", self.node)))?;
        let [high, low] = claimed.given.to_be_bytes();
        let address = IpAddr::from([10, self.node, high, low]);
        claimed.by_pod.insert(pod_uid.to_owned(), address);
        Ok(address)
    }

    fn release(&self, pod_uid: &str) {
        self.claimed.lock().expect("no panic while held").by_pod.remove(pod_uid);
    }

    /// Nobody accepts on it: a descriptor that costs no port.
    fn listen(&self, _pod_uid: &str, address: SocketAddr) -> Result<OwnedFd, NetworkError> {
        std::fs::File::open("/dev/null").map(OwnedFd::from).map_err(|source| NetworkError::Listen { address, source })
    }

    fn connect(&self, address: SocketAddr, timeout_ms: u64) -> Pending<'_, io::Result<tokio::net::TcpStream>> {
        Box::pin(async move {
            match self.answer(address).await {
                Answer::Status(code) => speak(code),
                Answer::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                Answer::Hangs => {
                    tokio::time::sleep(Duration::from_millis(timeout_ms)).await;
                    Err(io::ErrorKind::TimedOut.into())
                }
            }
        })
    }
}

/// A connection at whose other end one request is answered. The answer comes from a blocking task: while one runs, tokio does not advance
/// its paused time, so that no virtual timeout overtakes real bytes.
fn speak(code: u16) -> io::Result<tokio::net::TcpStream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (mut guest, _) = listener.accept()?;
    tokio::task::spawn_blocking(move || {
        // A prober that only wanted to connect hangs up; that is no error.
        if is_asked(&mut guest).unwrap_or(false) {
            let _ = write!(guest, "HTTP/1.1 {code} Scripted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    ours.set_nonblocking(true)?;
    tokio::net::TcpStream::from_std(ours)
}

/// Reads a request's head. False: there was none.
fn is_asked(guest: &mut TcpStream) -> io::Result<bool> {
    guest.set_read_timeout(Some(LONGEST_REQUEST))?;
    let (mut head, mut some) = (Vec::new(), [0; 1024]);
    while head.len() < HEAD_BYTES {
        match guest.read(&mut some)? {
            0 => return Ok(false),
            count => head.extend_from_slice(&some[..count]),
        }
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Ok(true);
        }
    }
    Ok(false)
}
