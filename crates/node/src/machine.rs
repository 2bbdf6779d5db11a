//! The machine under the node, as its Node object describes it.
use std::{fs, path::Path};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    /// Of the file system that holds the data folder.
    pub storage_bytes: i64,
    pub kernel: String,
    pub os_image: String,
    pub machine_id: String,
    pub boot_id: String,
    /// As Kubernetes names it: `amd64`, `arm64`.
    pub architecture: &'static str,
    pub hostname: String,
}

/// What changes while the node runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub memory_available_bytes: i64,
    pub storage_available_bytes: i64,
    pub storage_bytes: i64,
    pub processes: i64,
    pub processes_max: i64,
}

impl Machine {
    /// Reads what the kernel says. What it does not say stays empty or 0.
    pub fn look(data: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpu_millis: i64::try_from(cpus).unwrap_or(1) * 1000,
            memory_bytes: field_bytes(&read("/proc/meminfo"), "MemTotal:"),
            storage_bytes: storage(data).0,
            kernel: read("/proc/sys/kernel/osrelease"),
            os_image: pretty_name(&read("/etc/os-release")),
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            architecture: architecture(std::env::consts::ARCH),
            hostname: read("/proc/sys/kernel/hostname"),
        }
    }
}

impl Load {
    pub fn look(data: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (storage_bytes, storage_available_bytes) = storage(data);
        // `0.1 0.2 0.3 2/345 6789`: the number after the slash counts threads, which is what pid_max bounds.
        let processes = read("/proc/loadavg").split([' ', '/']).nth(4).and_then(|count| count.parse().ok()).unwrap_or(0);
        Self {
            memory_available_bytes: field_bytes(&read("/proc/meminfo"), "MemAvailable:"),
            storage_available_bytes,
            storage_bytes,
            processes,
            processes_max: read("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(i64::MAX),
        }
    }
}

/// All bytes and those that are free, of the file system that holds a folder or the nearest one above it.
fn storage(folder: &Path) -> (i64, i64) {
    let found = folder.ancestors().find_map(|folder| nix::sys::statvfs::statvfs(folder).ok());
    let Some(found) = found else { return (0, 0) };
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(found.fragment_size())).unwrap_or(i64::MAX);
    (bytes(found.blocks()), bytes(found.blocks_available()))
}

/// A line like `MemTotal:  16384 kB`.
fn field_bytes(text: &str, name: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<i64> = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn pretty_name(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

fn architecture(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lines() {
        let meminfo = "MemTotal:       16384 kB\nMemFree:  12 kB\nMemAvailable:   1024 kB\n";
        assert_eq!((field_bytes(meminfo, "MemTotal:"), field_bytes(meminfo, "MemAvailable:")), (16 << 20, 1 << 20));
        assert_eq!(field_bytes(meminfo, "Nothing:"), 0);
        assert_eq!(pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"), "Debian GNU/Linux 12 (bookworm)");
    }

    #[test]
    fn sees_this_machine() {
        let machine = Machine::look(Path::new("/tmp/not/there/yet"));
        assert!(machine.cpu_millis >= 1000 && machine.memory_bytes > 0 && machine.storage_bytes > 0 && !machine.kernel.is_empty());
        let load = Load::look(Path::new("/tmp"));
        assert!(load.processes > 0 && load.memory_available_bytes > 0 && load.storage_available_bytes > 0);
    }
}
