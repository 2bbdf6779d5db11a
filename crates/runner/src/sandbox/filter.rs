//! The system call filter: what no guest's host ever needs is refused, whatever else goes wrong in the process.
//! It lists what is refused. A list of what is allowed would be tighter, and would break with each update of libc, tokio or wasmtime.
use crate::Error;
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Runner,
    Compiler,
}

/// Other processes, the kernel's own settings, namespaces, and programs.
const REFUSED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_mknodat,
    // New sockets: a runner uses those that it is handed.
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
];

/// A compiler has no sockets at all.
const REFUSED_TO_COMPILERS: &[i64] = &[libc::SYS_socketpair, libc::SYS_accept, libc::SYS_accept4, libc::SYS_recvmsg, libc::SYS_sendmsg];

/// Puts the filter on this thread and on all that come of it.
pub fn apply(role: Role) -> Result<(), Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        tracing::warn!(arch = std::env::consts::ARCH, "no system call filter for this processor");
        return Ok(());
    };
    let program = compile(role, arch).map_err(Error::sandbox("system call filter"))?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(()),
        // A kernel without seccomp refuses the call itself.
        Err(error) => {
            tracing::warn!(%error, "no system call filter");
            Ok(())
        }
    }
}

fn compile(role: Role, arch: TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let more = if role == Role::Compiler { REFUSED_TO_COMPILERS } else { &[] };
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> = REFUSED.iter().chain(more).map(|call| (*call, vec![])).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::ErrorKind, net::TcpListener, process::Command, thread};

    /// The filter stays on the thread that it was put on, so the test has one of its own.
    #[test]
    fn refuses_programs_and_new_sockets() {
        let (program, socket) = thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            apply(Role::Runner).unwrap();
            (
                Command::new("/bin/true").spawn().map(drop).unwrap_err().kind(),
                TcpListener::bind("127.0.0.1:0").map(drop).unwrap_err().kind(),
            )
        })
        .join()
        .unwrap();
        assert_eq!((program, socket), (ErrorKind::PermissionDenied, ErrorKind::PermissionDenied));
    }
}
