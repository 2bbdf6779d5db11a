//! Starting a runner: its control socket is bound here and given as its stdin, so it can be called before it is ready.
use crate::{
    Config, Isolation,
    cgroup::{self, Cgroups},
    users::Users,
};
use knarr_runtime::Error;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

const SOCKET: &str = "control.sock";
/// The name of the one runner where isolation is by node.
const NODE: &str = "node";

/// Where runners live, and what they are given.
pub struct Places {
    config: Config,
    users: Arc<Users>,
    cgroups: Cgroups,
}

impl Places {
    pub fn open(config: Config, users: Arc<Users>) -> Result<Self, Error> {
        let run = config.data_dir.join("run");
        let made = fs::create_dir_all(&run).and_then(|()| fs::set_permissions(&run, Permissions::from_mode(0o700)));
        made.map_err(|error| Error::Unavailable(format!("{}: {error}", run.display())))?;
        let cgroups = if rustix::process::getuid().is_root() { Cgroups::open(Path::new(cgroup::ROOT)) } else { Cgroups::None };
        Ok(Self { config, users, cgroups })
    }

    /// The process that a domain's guests share.
    pub fn process<'a>(&self, domain: &'a str) -> Result<&'a str, Error> {
        // It becomes a file name and a control group's.
        let is_label =
            !domain.is_empty() && domain.len() <= 63 && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match self.config.isolation {
            _ if !is_label => Err(Error::Unavailable(format!("{domain:?} is no isolation domain"))),
            Isolation::Namespace => Ok(domain),
            Isolation::Node => Ok(NODE),
        }
    }

    /// All that its guests may see lies below.
    pub fn root(&self, process: &str) -> PathBuf {
        let domains = self.config.data_dir.join("domains");
        match self.config.isolation {
            Isolation::Namespace => domains.join(process),
            Isolation::Node => domains,
        }
    }

    /// The user that a runner is; None: the agent's own, which is not root.
    pub fn user(&self, process: &str) -> Result<Option<u32>, Error> {
        if rustix::process::getuid().is_root() { self.users.of(process).map(Some) } else { Ok(None) }
    }

    /// Runners that were started by an agent before this one.
    pub fn left_behind(&self) -> Vec<String> {
        let entries = fs::read_dir(self.config.data_dir.join("run")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().join(SOCKET).exists()).filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Connects to a runner that is there already.
    pub async fn connect(&self, process: &str) -> io::Result<UnixStream> {
        let folder = self.folder(process)?;
        UnixStream::connect(through(&folder)).await
    }

    /// Starts a runner and connects to it.
    pub async fn spawn(&self, process: &str) -> Result<(UnixStream, Child), Error> {
        let (control, stderr) =
            self.prepare(process).map_err(|error| Error::Unavailable(format!("cannot prepare the runner of {process}: {error}")))?;
        let mut command = Command::new(&self.config.program);
        command
            .arg("runner")
            .arg("--domain")
            .arg(process)
            .arg("--root")
            .arg(self.root(process))
            .arg("--code")
            .arg(self.config.data_dir.join("code"));
        command.arg("--agent-uid").arg(rustix::process::getuid().as_raw().to_string());
        command.arg("--idle-ms").arg(self.config.idle_limit.as_millis().to_string());
        if let Some(uid) = self.user(process)? {
            command.arg("--uid").arg(uid.to_string());
        }
        // It outlives this agent: its own session (which it makes), no terminal, no pipe that would break.
        command.env_clear().current_dir("/").stdin(OwnedFd::from(control)).stdout(Stdio::null()).stderr(stderr).kill_on_drop(false);
        let child = command.spawn().map_err(|error| Error::Unavailable(format!("{}: {error}", self.config.program.display())))?;
        if let Some(pid) = child.id() {
            for (controller, error) in self.cgroups.place(process, pid) {
                tracing::warn!(process, controller, %error, "the runner is in no control group");
            }
        }
        tracing::info!(process, pid = child.id(), "runner started");
        let stream =
            self.connect(process).await.map_err(|error| Error::Unavailable(format!("the runner of {process} does not answer: {error}")))?;
        Ok((stream, child))
    }

    /// Tidies up after a runner.
    pub fn ended(&self, process: &str) {
        self.cgroups.remove(process);
    }

    fn prepare(&self, process: &str) -> io::Result<(UnixListener, Stdio)> {
        let root = self.root(process);
        fs::create_dir_all(&root)?;
        let run = self.config.data_dir.join("run").join(process);
        fs::create_dir_all(&run)?;
        let socket = run.join(SOCKET);
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let folder = self.folder(process)?;
        let control = UnixListener::bind(through(&folder))?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        // What it has to say before it is connected, and its last words.
        let log = OpenOptions::new().create(true).write(true).truncate(true).open(run.join("runner.log"))?;
        Ok((control, log.into()))
    }

    fn folder(&self, process: &str) -> io::Result<OwnedFd> {
        let path = self.config.data_dir.join("run").join(process);
        Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// A socket's path may have 107 bytes; a data folder with a long name and a namespace of 63 letters have more. By the folder's descriptor it is short.
fn through(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}
