//! Security contexts, host namespaces and sysctls.
use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile, SecurityContext};
use knarr_machinery::FieldError;

const SYSCTL_MAX: usize = 253;
const SYSCTL_RULE: &str =
    r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

pub(super) fn check_pod(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        wrong.push(FieldError::invalid(format!("{path}.shareProcessNamespace"), true, detail));
    }
    if let Some(context) = &spec.security_context {
        let path = format!("{path}.securityContext");
        for (part, id) in [("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group), ("fsGroup", context.fs_group)] {
            check_id(id, &format!("{path}.{part}"), wrong);
        }
        for (at, group) in context.supplemental_groups.iter().flatten().enumerate() {
            check_id(Some(*group), &format!("{path}.supplementalGroups[{at}]"), wrong);
        }
        for (at, sysctl) in context.sysctls.iter().flatten().enumerate() {
            let at = format!("{path}.sysctls[{at}].name");
            if sysctl.name.is_empty() {
                field::required(wrong, &at);
            } else if !is_sysctl(&sysctl.name) {
                wrong.push(FieldError::invalid(at, &*sysctl.name, SYSCTL_RULE));
            }
        }
        check_seccomp(context.seccomp_profile.as_ref(), &format!("{path}.seccompProfile"), wrong);
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        forbid_linux_fields(spec, path, wrong);
    }
}

pub(super) fn check_container(context: &SecurityContext, path: &str, wrong: &mut Wrong) {
    check_id(context.run_as_user, &format!("{path}.runAsUser"), wrong);
    check_id(context.run_as_group, &format!("{path}.runAsGroup"), wrong);
    check_seccomp(context.seccomp_profile.as_ref(), &format!("{path}.seccompProfile"), wrong);
    if context.allow_privilege_escalation == Some(false) && context.privileged == Some(true) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        wrong.push(FieldError::invalid(path, field::json(context), detail));
    }
}

fn check_id(id: Option<i64>, path: &str, wrong: &mut Wrong) {
    if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
        wrong.push(FieldError::invalid(path, id, format!("must be between 0 and {}, inclusive", i32::MAX)));
    }
}

fn check_seccomp(profile: Option<&SeccompProfile>, path: &str, wrong: &mut Wrong) {
    let Some(profile) = profile else { return };
    let file = text(&profile.localhost_profile);
    let at = format!("{path}.localhostProfile");
    match &*profile.type_ {
        "Localhost" if file.is_empty() => wrong.push(FieldError::required(at, "must be set when seccomp type is Localhost")),
        "Localhost" => field::inner_path(wrong, &at, file),
        "RuntimeDefault" | "Unconfined" if profile.localhost_profile.is_some() => {
            wrong.push(FieldError::invalid(at, file, "can only be set when seccomp type is Localhost"));
        }
        other => field::one_of(wrong, &format!("{path}.type"), other, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

/// Lower-case words joined by dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_word = |word: &str| {
        word.bytes().next().is_some_and(plain)
            && word.bytes().last().is_some_and(plain)
            && word.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_word)
}

fn forbid_linux_fields(spec: &PodSpec, path: &str, wrong: &mut Wrong) {
    const DETAIL: &str = "cannot be set for a windows pod";
    let forbidden = |at: String| FieldError::forbidden(at, DETAIL);
    for (part, given) in [
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("hostNetwork", spec.host_network == Some(true)),
        ("shareProcessNamespace", spec.share_process_namespace.is_some()),
    ] {
        if given {
            wrong.push(forbidden(format!("{path}.{part}")));
        }
    }
    let lists: [(&str, &[Container]); 2] =
        [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers)];
    for (list, containers) in lists {
        for (at, container) in containers.iter().enumerate() {
            let Some(context) = &container.security_context else { continue };
            let given = [
                ("privileged", context.privileged.is_some()),
                ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
                ("capabilities", context.capabilities.is_some()),
                ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
                ("runAsUser", context.run_as_user.is_some()),
                ("runAsGroup", context.run_as_group.is_some()),
                ("seccompProfile", context.seccomp_profile.is_some()),
                ("seLinuxOptions", context.se_linux_options.is_some()),
                ("procMount", context.proc_mount.is_some()),
            ];
            for (part, _) in given.into_iter().filter(|(_, given)| *given) {
                wrong.push(forbidden(format!("{path}.{list}[{at}].securityContext.{part}")));
            }
        }
    }
}
