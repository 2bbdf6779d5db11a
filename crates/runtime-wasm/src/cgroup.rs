//! Control groups of runners, version 1 or 2, as far as this node has them. What it lacks is said and gone without.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Threads of one runner: guests', blocking ones, its own. Far more than it ever starts, far less than the host has.
const TASKS_MAX: u32 = 256;
/// The group that holds all runners' groups.
const PARENT: &str = "knarr";
/// Where control groups are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// What runners are grouped for.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// The hierarchies below `/sys/fs/cgroup`, or below a folder that a test made.
pub enum Cgroups {
    V1(PathBuf),
    V2(PathBuf),
    None,
}

/// Whether runners can be put into control groups here.
pub fn has_control_groups() -> bool {
    let made = |cgroups: &Cgroups| match cgroups {
        Cgroups::V1(root) => root.join("memory"),
        Cgroups::V2(root) => root.clone(),
        Cgroups::None => PathBuf::new(),
    };
    let folder = made(&Cgroups::open(Path::new(ROOT)));
    rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok()
}

impl Cgroups {
    pub fn open(root: &Path) -> Self {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|c| c == "memory") {
            Self::V2(root.to_owned())
        } else if root.join("memory").is_dir() {
            Self::V1(root.to_owned())
        } else {
            tracing::warn!("no control groups: one tenant's runner may take what others need");
            Self::None
        }
    }

    /// Puts a process into its domain's group. Each failure is one controller that does not work.
    pub fn place(&self, domain: &str, pid: u32) -> Vec<(&'static str, io::Error)> {
        let mut failed = Vec::new();
        match self {
            Self::V1(root) => {
                for controller in CONTROLLERS {
                    if let Err(error) = join(&root.join(controller).join(PARENT).join(domain), pid, controller == "pids") {
                        failed.push((controller, error));
                    }
                }
            }
            Self::V2(root) => {
                let parent = root.join(PARENT);
                let made = fs::create_dir_all(&parent).and_then(|()| enable(root)).and_then(|()| enable(&parent));
                if let Err(error) = made.and_then(|()| join(&parent.join(domain), pid, true)) {
                    failed.push(("unified", error));
                }
            }
            Self::None => {}
        }
        failed
    }

    /// Removes the group of a domain whose runner has ended.
    pub fn remove(&self, domain: &str) {
        let groups: Vec<PathBuf> = match self {
            Self::V1(root) => CONTROLLERS.iter().map(|c| root.join(c).join(PARENT).join(domain)).collect(),
            Self::V2(root) => vec![root.join(PARENT).join(domain)],
            Self::None => vec![],
        };
        for group in groups {
            if let Err(error) = fs::remove_dir(&group)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(group = %group.display(), %error, "a control group stays");
            }
        }
    }
}

fn enable(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.subtree_control"), CONTROLLERS.map(|c| format!("+{c}")).join(" "))
}

fn join(group: &Path, pid: u32, counts_tasks: bool) -> io::Result<()> {
    fs::create_dir_all(group)?;
    if counts_tasks {
        fs::write(group.join("pids.max"), TASKS_MAX.to_string())?;
    }
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], want: &[(&str, &str)]) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "cpu memory pids").unwrap();
        }
        let groups = Cgroups::open(root.path());
        assert!(groups.place("shop", 42).is_empty());
        for (file, text) in want {
            assert_eq!(fs::read_to_string(root.path().join(file)).unwrap(), *text, "{file}");
        }
    }

    #[test]
    fn places_a_runner_in_version_1() {
        check(
            &["memory/x", "cpu/x", "pids/x"],
            &[
                ("memory/knarr/shop/cgroup.procs", "42"),
                ("cpu/knarr/shop/cgroup.procs", "42"),
                ("pids/knarr/shop/cgroup.procs", "42"),
                ("pids/knarr/shop/pids.max", "256"),
            ],
        );
    }

    #[test]
    fn places_a_runner_in_version_2() {
        let want = [
            ("cgroup.subtree_control", "+memory +cpu +pids"),
            ("knarr/cgroup.subtree_control", "+memory +cpu +pids"),
            ("knarr/shop/cgroup.procs", "42"),
            ("knarr/shop/pids.max", "256"),
        ];
        check(&["cgroup.controllers"], &want);
    }

    #[test]
    fn goes_without_where_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Cgroups::open(root.path()), Cgroups::None));
        assert!(Cgroups::None.place("shop", 42).is_empty());
    }

    #[test]
    fn names_the_controllers_that_fail() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("memory")).unwrap();
        fs::write(root.path().join("cpu"), "no folder").unwrap();
        let failed = Cgroups::open(root.path()).place("shop", 42);
        assert_eq!(failed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["cpu"]);
    }
}
