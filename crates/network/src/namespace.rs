//! The network namespace that all pods of a node share: found again after a restart, made where there is none, removed at the end.
//!
//! A namespace is kept alive by a file that it is mounted on, so that it outlives a killed agent, and with it the listeners that runners still hold.
//! `lo` inside carries the node's data folder as its alias: whose a namespace is can be read off it, whatever it is called. Where nothing can be
//! mounted (a user namespace without a mount namespace of its own), the namespace lives only as long as somebody has a socket or a thread in it.
use crate::{
    Result, cidr,
    error::Doing,
    netlink::{self, Netlink},
    sockets::Resident,
};
use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MntFlags, MsFlags},
    sched::CloneFlags,
    sys::statfs,
};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where `ip netns` looks, so that an operator can enter ours by name.
const FOLDER: &str = "/run/netns";
/// The first node of a machine has the plain name, others add their id.
const NAME: &str = "knarr";
/// The kernel keeps 255 bytes of an alias.
const ALIAS_BYTES: usize = 255;

#[derive(Debug)]
pub struct Namespace {
    /// What it is mounted on; nothing where it could not be mounted.
    pub file: Option<PathBuf>,
    pub resident: Arc<Resident>,
    fd: OwnedFd,
}

/// What tells a node's things from others' on the same machine.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Eight hexadecimal digits.
    pub id: String,
    /// The data folder, as links carry it.
    pub alias: String,
    folder: PathBuf,
}

impl Owner {
    pub fn new(data_dir: &Path) -> Result<Self> {
        let folder = fs::canonicalize(data_dir).doing(format!("opening {}", data_dir.display()))?;
        let mut alias = folder.to_string_lossy().into_owned();
        while alias.len() > ALIAS_BYTES {
            alias.pop();
        }
        Ok(Self { id: format!("{:08x}", cidr::hash(folder.as_os_str().as_encoded_bytes()) & 0xffff_ffff), alias, folder })
    }

    /// The host's end of this node's pair of links: at most 15 bytes, as the kernel wants.
    pub fn host_link(&self) -> String {
        format!("{HOST_LINK}{}", self.id)
    }
}

const HOST_LINK: &str = "knarr-";

/// What became of the node that a link or a namespace belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// Nobody holds its lock; it may come back.
    Stopped,
    /// Its data folder is gone: it will never come back.
    Gone,
}

pub const LOCK: &str = "network.lock";

/// Looks after the node whose data folder is `alias`.
pub fn life(alias: &str) -> Life {
    if alias.len() >= ALIAS_BYTES || !alias.starts_with('/') {
        return Life::Alive;
    }
    match File::open(Path::new(alias).join(LOCK)) {
        Ok(lock) => match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(_) => Life::Stopped,
            Err(_) => Life::Alive,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Life::Gone,
        Err(_) => Life::Alive,
    }
}

/// The namespace of this node: the one it had, or a new one.
pub fn find_or_make(owner: &Owner) -> Result<Namespace> {
    let mut refused = None;
    for folder in [PathBuf::from(FOLDER), owner.folder.join("netns")] {
        match in_folder(&folder, owner) {
            Ok(namespace) => return Ok(namespace),
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "no network namespace can be mounted here");
                refused = Some(error);
            }
        }
    }
    let namespace = make(None, owner)?;
    if let Some(error) = refused {
        tracing::warn!(%error, "the pods' network namespace cannot be mounted: it will not outlive this process, nor will pods' listeners");
    }
    Ok(namespace)
}

fn in_folder(folder: &Path, owner: &Owner) -> Result<Namespace> {
    fs::create_dir_all(folder).doing(format!("making {}", folder.display()))?;
    // Two nodes that start at once must not both take the plain name.
    let lock = File::open(folder).doing(format!("opening {}", folder.display()))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).doing(format!("locking {}", folder.display()))?;
    sweep(folder);
    for name in [NAME.to_owned(), format!("{NAME}-{}", owner.id)] {
        let file = folder.join(&name);
        if !is_mounted(&file) {
            // A plain file here is what a reboot or a crash left over.
            return make(Some(file), owner);
        }
        let namespace = adopt(file)?;
        let whose = namespace.alias()?;
        if whose.as_ref() == Some(&owner.alias) {
            return Ok(namespace);
        }
        if name != NAME && whose.is_none() {
            // The id says that it is ours: we were killed before we could say so inside.
            namespace.mark(owner)?;
            return Ok(namespace);
        }
    }
    make(None, owner)
}

/// Removes the namespaces of nodes whose data folder is gone.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(NAME) || !is_mounted(&file) {
            continue;
        }
        let whose = adopt(file.clone()).and_then(|namespace| namespace.alias());
        if let Ok(Some(alias)) = whose
            && life(&alias) == Life::Gone
        {
            tracing::info!(namespace = %file.display(), data_dir = alias, "removing the network namespace of a node that is gone");
            if let Err(error) = unmount(&file) {
                tracing::warn!(%error, "a network namespace could not be removed");
            }
        }
    }
}

fn is_mounted(file: &Path) -> bool {
    statfs::statfs(file).is_ok_and(|found| found.filesystem_type() == statfs::NSFS_MAGIC)
}

fn adopt(file: PathBuf) -> Result<Namespace> {
    let said = file.display().to_string();
    let open = File::open(&file).doing(format!("opening {said}"))?;
    let fd = OwnedFd::from(open);
    let entry = fd.try_clone().doing("duplicating a descriptor")?;
    let (resident, ()) = Resident::start("pod-network", move || {
        nix::sched::setns(entry, CloneFlags::CLONE_NEWNET).doing(format!("entering the network namespace {said}"))
    })?;
    Ok(Namespace { file: Some(file), resident: Arc::new(resident), fd })
}

fn make(file: Option<PathBuf>, owner: &Owner) -> Result<Namespace> {
    let mounted = file.clone();
    let (resident, fd) = Resident::start("pod-network", move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).doing("making a network namespace")?;
        let own = Path::new("/proc/thread-self/ns/net");
        if let Some(file) = &mounted {
            File::create(file).doing(format!("making {}", file.display()))?;
            if let Err(errno) = nix::mount::mount(Some(own), file, None::<&Path>, MsFlags::MS_BIND, None::<&Path>) {
                drop(fs::remove_file(file)); // Nothing is mounted on it; an empty file that stays does no harm.
                return Err(errno).doing(format!("mounting a network namespace on {}", file.display()));
            }
        }
        Ok(OwnedFd::from(File::open(own).doing("opening a network namespace")?))
    })?;
    let namespace = Namespace { file, resident: Arc::new(resident), fd };
    namespace.mark(owner)?;
    Ok(namespace)
}

fn unmount(file: &Path) -> Result<()> {
    nix::mount::umount2(file, MntFlags::MNT_DETACH).doing(format!("unmounting {}", file.display()))?;
    fs::remove_file(file).doing(format!("removing {}", file.display()))
}

impl Namespace {
    /// Talks to the kernel about this namespace.
    pub fn talk<T: Send + 'static>(&self, what: impl AsyncFnOnce(&Netlink) -> Result<T> + Send + 'static) -> Result<T> {
        self.resident.run(move || netlink::talk(what)).doing("talking in the pods' network namespace")?
    }

    pub fn raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }

    fn alias(&self) -> Result<Option<String>> {
        self.talk(async |netlink| Ok(netlink.links().await?.into_iter().find(|link| link.index == netlink::LO).and_then(|lo| lo.alias)))
    }

    fn mark(&self, owner: &Owner) -> Result<()> {
        let alias = owner.alias.clone();
        self.talk(async move |netlink| netlink.set_alias(netlink::LO, &alias).await)
    }

    /// Ends it: what still has sockets in it keeps them, but nobody finds it any more.
    pub fn remove(&self) -> Result<()> {
        self.file.as_deref().map_or(Ok(()), unmount)
    }
}

/// The links of all nodes on this machine, ours included.
pub fn is_host_link(name: &str) -> bool {
    name.starts_with(HOST_LINK)
}
