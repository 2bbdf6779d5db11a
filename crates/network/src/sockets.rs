//! Where sockets are made: in the process's own network namespace, or by the thread that lives in the pods' one. A socket belongs to the
//! namespace of the thread that made it, for good; it is bound, connected and used from anywhere.
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted: the kernel's own limit on many machines (`net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;
/// Jobs that wait for a thread. Each takes microseconds; who finds the queue full waits.
const WAITING_JOBS: usize = 1024;
/// After this long without a sign of life a peer is asked, and given up after three questions.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace that does small jobs there, one at a time.
#[derive(Debug)]
pub struct Resident {
    jobs: mpsc::SyncSender<Job>,
}

impl Resident {
    /// Starts a thread, lets it `enter` its namespace, and gives back what that found out.
    pub fn start<T: Send + 'static>(name: &str, enter: impl FnOnce() -> crate::Result<T> + Send + 'static) -> crate::Result<(Self, T)> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(WAITING_JOBS);
        let (entered, seen) = mpsc::sync_channel(1);
        let body = move || {
            let result = enter();
            let is_in = result.is_ok();
            if entered.send(result).is_err() || !is_in {
                return;
            }
            for job in queue {
                job();
            }
        };
        use crate::error::Doing;
        thread::Builder::new().name(name.to_owned()).spawn(body).doing("starting a thread")?;
        let found = seen.recv().map_err(|_| gone()).doing("entering a network namespace")??;
        Ok((Self { jobs }, found))
    }

    /// Does a job there and waits for it: microseconds, unless the job is long.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || drop(done.send(job())));
        self.jobs.send(job).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())
    }

    async fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(job())));
        self.jobs.send(job).map_err(|_| gone())?;
        result.await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the network namespace has ended")
}

/// The namespace that a socket is made in.
#[derive(Debug, Clone)]
pub enum Place {
    /// The process's own.
    Host,
    /// The pods'.
    Pods(Arc<Resident>),
}

impl Place {
    fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        match self {
            Self::Host => make(address),
            Self::Pods(resident) => resident.run(move || make(address))?,
        }
    }

    /// A listening socket, not yet known to tokio.
    pub fn listen(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = self.socket(address)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }

    /// A listening socket for a task of our own.
    pub fn listener(&self, address: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::from_std(self.listen(address)?)
    }

    /// Connects; `from` is the source address, any where there is none.
    pub async fn connect(&self, from: Option<IpAddr>, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
        let socket = match self {
            Self::Host => make(to)?,
            Self::Pods(resident) => resident.call(move || make(to)).await??,
        };
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            // The port is chosen at connect, so that one source has 28,000 ports for each destination and not in all.
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
        }
        let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
        match tokio::time::timeout(patience, socket.connect(to)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {to} within {patience:?}"))),
        }
    }
}

fn make(address: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

/// Readies an accepted connection: small writes go at once, dead peers are noticed.
pub fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE).with_retries(3))
}
