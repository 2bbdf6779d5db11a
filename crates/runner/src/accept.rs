//! One thread accepts for all pods of this runner. So a pod that nobody calls costs a descriptor and a table entry, and no task.
use crate::{
    http::{self, Served},
    live::Live,
};
use rustix::{
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::Errno,
    net::{SocketFlags, accept_with},
};
use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::runtime::Handle;

/// Connections of all pods at once. One more is closed as soon as it is accepted.
const CONNECTIONS_MAX: usize = 8_192;
/// Connections that one listener gives before the next one has its turn.
const ACCEPTS_AT_ONCE: usize = 16;
const EVENTS_AT_ONCE: usize = 64;
/// A pause when the process has no descriptor left: a connection must end first.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

struct Door {
    listener: Arc<TcpListener>,
    served: Arc<Served>,
}

pub struct Doors {
    epoll: OwnedFd,
    open: Mutex<Open>,
    connections: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Open {
    doors: HashMap<u64, Arc<Door>>,
    next: u64,
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Doors {
    /// Starts the thread. It ends with the process. Connections are served by `guests`.
    pub fn open(guests: Handle) -> io::Result<Arc<Self>> {
        let doors = Arc::new(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, open: Mutex::default(), connections: Arc::default() });
        let these = doors.clone();
        thread::Builder::new().name("accept".into()).stack_size(256 * 1024).spawn(move || these.run(&guests))?;
        Ok(doors)
    }

    pub fn add(&self, listener: Arc<TcpListener>, served: Arc<Served>) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let mut open = self.open.lock().expect(POISON);
        let key = open.next;
        open.next += 1;
        epoll::add(&self.epoll, &listener, EventData::new_u64(key), EventFlags::IN)?;
        open.doors.insert(key, Arc::new(Door { listener, served }));
        Ok(())
    }

    /// Takes no new connection for a container.
    pub fn close(&self, live: &Live) {
        self.open.lock().expect(POISON).doors.retain(|_, door| {
            let is_other = !std::ptr::eq(&*door.served.live, live);
            if !is_other && let Err(error) = epoll::delete(&self.epoll, &door.listener) {
                tracing::warn!(%error, "a listener could not be taken off");
            }
            is_other
        });
    }

    fn run(&self, guests: &Handle) {
        let mut space = [MaybeUninit::<Event>::uninit(); EVENTS_AT_ONCE];
        loop {
            let events = match epoll::wait(&self.epoll, &mut space, None) {
                Ok((events, _)) => events,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "connections can no longer be accepted");
                    return;
                }
            };
            for event in events.iter() {
                let door = self.open.lock().expect(POISON).doors.get(&event.data.u64()).cloned();
                if let Some(door) = door {
                    self.accept(&door, guests);
                }
            }
        }
    }

    fn accept(&self, door: &Door, guests: &Handle) {
        for _ in 0..ACCEPTS_AT_ONCE {
            match accept_with(&door.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let counted = Counted(self.connections.clone());
                    if counted.0.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                        tracing::warn!(most = CONNECTIONS_MAX, "a connection is closed: there are too many");
                        continue;
                    }
                    let served = door.served.clone();
                    guests.spawn(async move {
                        let _counted = counted;
                        http::converse(served, TcpStream::from(socket)).await;
                    });
                }
                Err(Errno::AGAIN) => return,
                // The client went away before it was accepted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    thread::sleep(EXHAUSTED_PAUSE);
                    return;
                }
            }
        }
    }
}

const POISON: &str = "the lock of the doors is never poisoned";
