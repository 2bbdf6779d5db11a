//! Giving up rights, before anything of a guest is read. What the kernel does not have is said once and gone without:
//! a node that cannot sandbox still isolates tenants by process.
mod filter;

use crate::{Error, arguments};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use nix::unistd::{Gid, Uid, getuid, setgid, setgroups, setuid};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit, setsid},
    thread::{CapabilitySet, UnshareFlags, remove_capability_from_bounding_set, set_no_new_privs},
};
use std::path::Path;

/// A compiler may use this much address space. The largest guests known (JavaScript, Python) take some 1.5 GB.
const COMPILER_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Processor seconds for each second of the wall limit: compiling uses all cores.
const COMPILER_CPU_FACTOR: u64 = 4;
/// Compiling gives way to everything else.
const COMPILER_NICE: i32 = 10;

/// A runner's: sees its domain's folder and the code cache, and no network.
pub fn enter_runner(arguments: &arguments::Runner) -> Result<(), Error> {
    // Its own session: it outlives the agent and the agent's terminal. It may lead one already.
    if let Err(error) = setsid() {
        tracing::debug!(%error, "stays in its session");
    }
    // As many listeners and connections as the hard limit allows.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).map_err(Error::sandbox("open files"))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(Error::sandbox("core files"))?;
    leave_network();
    let ruleset = rules(&[(&arguments.root, true), (&arguments.code, false)]);
    become_user(arguments.uid)?;
    restrict(ruleset);
    filter::apply(filter::Role::Runner)
}

/// A compiler's: sees nothing at all.
pub fn enter_compiler(arguments: &arguments::Compiler) -> Result<(), Error> {
    let seconds = arguments.limit.as_secs().max(1) * COMPILER_CPU_FACTOR;
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds) }).map_err(Error::sandbox("processor time"))?;
    setrlimit(Resource::As, Rlimit { current: Some(COMPILER_BYTES), maximum: Some(COMPILER_BYTES) }).map_err(Error::sandbox("memory"))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(Error::sandbox("core files"))?;
    if let Err(error) = rustix::process::nice(COMPILER_NICE) {
        tracing::debug!(%error, "compiles at the usual priority");
    }
    leave_network();
    let ruleset = rules(&[]);
    become_user(arguments.uid)?;
    restrict(ruleset);
    filter::apply(filter::Role::Compiler)
}

/// Into an empty network namespace of its own. Sockets of the old one, handed over, go on working.
fn leave_network() {
    if !getuid().is_root() {
        tracing::warn!("not root: this process keeps the host's network in sight, though it may make no socket");
        return;
    }
    #[expect(unsafe_code, reason = "rustix asks for it: unsharing the table of files may surprise other threads")]
    // SAFETY: only the network namespace is unshared, and this process has one thread.
    let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    if let Err(error) = left {
        tracing::warn!(%error, "no network namespace of its own");
    }
}

fn become_user(uid: Option<u32>) -> Result<(), Error> {
    if let Some(uid) = uid.filter(|_| getuid().is_root()) {
        for bit in 0..64 {
            let Some(capability) = CapabilitySet::from_bits(1 << bit) else { continue };
            // The kernel has fewer than 64; the first unknown one ends it.
            if remove_capability_from_bounding_set(capability).is_err() {
                break;
            }
        }
        setgroups(&[]).map_err(Error::sandbox("groups"))?;
        setgid(Gid::from_raw(uid)).map_err(Error::sandbox("group"))?;
        // With the user go all capabilities: nothing is kept, and no_new_privs brings none back.
        setuid(Uid::from_raw(uid)).map_err(Error::sandbox("user"))?;
    }
    set_no_new_privs(true).map_err(Error::sandbox("no new privileges"))
}

/// The rules for these folders: `true` may be written. Opened while this process may still walk to them.
fn rules(folders: &[(&Path, bool)]) -> Result<landlock::RulesetCreated, Box<dyn std::error::Error + Send + Sync>> {
    let abi = ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    for (folder, is_writable) in folders {
        let mut access = AccessFs::from_read(abi);
        if *is_writable {
            access |= AccessFs::from_write(abi);
        }
        access.remove(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(folder)?, access))?;
    }
    Ok(ruleset)
}

fn restrict(ruleset: Result<landlock::RulesetCreated, Box<dyn std::error::Error + Send + Sync>>) {
    match ruleset.and_then(|ruleset| Ok(ruleset.restrict_self()?)) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            tracing::warn!("this kernel has no landlock: files are kept apart by user and by WASI only")
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "landlock is not in force: files are kept apart by user and by WASI only"),
    }
}

/// Whether this kernel confines files.
pub fn has_landlock() -> bool {
    // Made, never entered: the folder does not matter.
    let made = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(ABI::V1));
    made.is_ok_and(|ruleset| ruleset.create().is_ok())
}

/// Whether this kernel filters system calls.
pub fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}
