//! The processes of a node, as the kernel shows them.
use std::{fs, path::PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub uid: u32,
    pub arguments: Vec<String>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()?;
        let line = fs::read(folder.join("cmdline")).ok()?;
        let arguments =
            line.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).filter(|word| !word.is_empty()).collect();
        Some(Self { pid, uid, arguments })
    }

    /// The files that are mapped into the process.
    pub fn maps(&self) -> String {
        fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default()
    }

    pub fn kill(&self) {
        // It may be gone already.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), nix::sys::signal::Signal::SIGKILL).ok();
    }

    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.arguments == self.arguments)
    }
}

fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::read(entry.file_name().to_string_lossy().parse().ok()?)).collect()
}

/// The runner processes of the node that keeps its data in `data`. A runner's command line names its control folder.
pub fn runners(data: &std::path::Path) -> Vec<Process> {
    let data = data.to_string_lossy().into_owned();
    let mut found: Vec<_> = all()
        .into_iter()
        .filter(|p| p.arguments.get(1).is_some_and(|role| role == "runner") && p.arguments.iter().any(|a| a.contains(&data)))
        .collect();
    found.sort_by_key(|p| p.pid);
    found
}

/// A process by pid, if it runs.
pub fn children(pid: i32) -> Option<Process> {
    Process::read(pid)
}
