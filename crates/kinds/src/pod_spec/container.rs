//! The containers of a pod: names, images, ports, environment, mounts.
use super::{Around, probe, resources, security};
use crate::field::{self, Wrong, text};
use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, EnvVarSource, PodSpec, VolumeMount};
use knarr_machinery::{FieldError, names};
use std::collections::BTreeSet;

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const ENV_RESOURCES: &[&str] =
    &["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

/// `Always` where the tag moves or is left out, `IfNotPresent` where tag or digest name one image.
pub(crate) fn image_pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    // A colon before the last slash belongs to the registry's port.
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        None | Some((_, "latest" | "")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

pub(super) fn check_all(spec: &PodSpec, around: &Around, path: &str, wrong: &mut Wrong) {
    if spec.containers.is_empty() {
        field::required(wrong, &format!("{path}.containers"));
    }
    let mut seen = BTreeSet::new();
    let mut check_name = |container: &'_ Container, path: &str, wrong: &mut Wrong| {
        let at = format!("{path}.name");
        let before = wrong.len();
        field::named_and_there(wrong, &at, &container.name, names::is_dns_label);
        if wrong.len() == before && !seen.insert(container.name.clone()) {
            wrong.push(FieldError::duplicate(at, &*container.name));
        }
    };
    for (at, container) in spec.containers.iter().enumerate() {
        let path = format!("{path}.containers[{at}]");
        check_name(container, &path, wrong);
        check(container, around, &path, wrong);
        probe::check_all(container, &path, wrong);
    }
    for (at, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = format!("{path}.initContainers[{at}]");
        check_name(container, &path, wrong);
        check(container, around, &path, wrong);
        if text(&container.restart_policy) == "Always" {
            probe::check_all(container, &path, wrong);
        } else {
            probe::forbid_all(container, &path, wrong);
        }
    }
}

fn check(container: &Container, around: &Around, path: &str, wrong: &mut Wrong) {
    let image = text(&container.image);
    if image.is_empty() {
        field::required(wrong, &format!("{path}.image"));
    } else if image.trim() != image {
        wrong.push(FieldError::invalid(format!("{path}.image"), image, "must not have leading or trailing whitespace"));
    }
    let policy = text(&container.termination_message_policy);
    field::one_of(wrong, &format!("{path}.terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
    check_ports(container.ports.as_deref().unwrap_or_default(), around, &format!("{path}.ports"), wrong);
    for (at, variable) in container.env.iter().flatten().enumerate() {
        check_variable(variable, &format!("{path}.env[{at}]"), wrong);
    }
    check_env_from(container, path, wrong);
    check_mounts(container, around, &format!("{path}.volumeMounts"), wrong);
    for (at, device) in container.volume_devices.iter().flatten().enumerate() {
        if !around.volumes.contains(&*device.name) {
            field::not_found(wrong, format!("{path}.volumeDevices[{at}].name"), &device.name);
        }
    }
    field::one_of(wrong, &format!("{path}.imagePullPolicy"), text(&container.image_pull_policy), &["Always", "IfNotPresent", "Never"]);
    if let Some(resources) = &container.resources {
        resources::check(resources, &format!("{path}.resources"), wrong);
    }
    for policy in container.resize_policy.iter().flatten() {
        let at = format!("{path}.resizePolicy");
        field::one_of(wrong, &at, &policy.resource_name, &["cpu", "memory"]);
        field::one_of(wrong, &at, &policy.restart_policy, &["NotRequired", "RestartContainer"]);
    }
    if let Some(policy) = &container.restart_policy {
        field::one_of(wrong, &format!("{path}.restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
    }
    if let Some(context) = &container.security_context {
        security::check_container(context, &format!("{path}.securityContext"), wrong);
    }
}

fn check_ports(ports: &[ContainerPort], around: &Around, path: &str, wrong: &mut Wrong) {
    let mut seen = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = format!("{path}[{at}]");
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let before = wrong.len();
            field::named(wrong, &format!("{path}.name"), name, names::is_port_name);
            if wrong.len() == before && !seen.insert(name) {
                wrong.push(FieldError::duplicate(format!("{path}.name"), name));
            }
        }
        if port.container_port == 0 {
            field::required(wrong, &format!("{path}.containerPort"));
        } else {
            field::port_number(wrong, &format!("{path}.containerPort"), port.container_port);
        }
        if let Some(host) = port.host_port.filter(|port| *port != 0) {
            field::port_number(wrong, &format!("{path}.hostPort"), host);
            if around.host_network && host != port.container_port {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                wrong.push(FieldError::invalid(format!("{path}.hostPort"), host, detail));
            }
        }
        field::one_of(wrong, &format!("{path}.protocol"), text(&port.protocol), &["SCTP", "TCP", "UDP"]);
    }
}

fn check_variable(variable: &EnvVar, path: &str, wrong: &mut Wrong) {
    field::named_and_there(wrong, &format!("{path}.name"), &variable.name, names::is_env_var_name);
    let Some(source) = &variable.value_from else { return };
    let path = format!("{path}.valueFrom");
    let given = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.config_map_key_ref.is_some(),
        source.secret_key_ref.is_some(),
        source.file_key_ref.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            wrong.push(FieldError::invalid(&path, "", detail));
        }
        _ if !text(&variable.value).is_empty() => {
            wrong.push(FieldError::invalid(&path, "", "may not be specified when `value` is not empty"))
        }
        1 => {}
        _ => wrong.push(FieldError::invalid(&path, "", "may not have more than one field specified at a time")),
    }
    check_variable_source(source, &path, wrong);
}

fn check_variable_source(source: &EnvVarSource, path: &str, wrong: &mut Wrong) {
    if let Some(field) = &source.field_ref {
        let at = format!("{path}.fieldRef.fieldPath");
        if field.field_path.is_empty() {
            field::required(wrong, &at);
        } else if !is_keyed_metadata(&field.field_path) {
            field::one_of(wrong, &at, &field.field_path, ENV_FIELDS);
        }
    }
    if let Some(resource) = &source.resource_field_ref {
        let at = format!("{path}.resourceFieldRef.resource");
        if resource.resource.is_empty() {
            field::required(wrong, &at);
        } else if !["limits.hugepages-", "requests.hugepages-"].iter().any(|huge| resource.resource.starts_with(huge)) {
            field::one_of(wrong, &at, &resource.resource, ENV_RESOURCES);
        }
    }
    for (part, reference) in [
        ("configMapKeyRef", source.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key))),
        ("secretKeyRef", source.secret_key_ref.as_ref().map(|r| (&r.name, &r.key))),
    ] {
        let Some((name, key)) = reference else { continue };
        if name.is_empty() {
            field::required(wrong, &format!("{path}.{part}.name"));
        }
        field::named_and_there(wrong, &format!("{path}.{part}.key"), key, names::is_config_map_key);
    }
}

/// `metadata.labels['key']` or `metadata.annotations['key']`.
fn is_keyed_metadata(path: &str) -> bool {
    ["metadata.labels['", "metadata.annotations['"].iter().any(|head| {
        path.strip_prefix(head).and_then(|rest| rest.strip_suffix("']")).is_some_and(|key| names::is_qualified_name(key).is_empty())
    })
}

fn check_env_from(container: &Container, path: &str, wrong: &mut Wrong) {
    for (at, source) in container.env_from.iter().flatten().enumerate() {
        let path = format!("{path}.envFrom[{at}]");
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            field::named(wrong, &format!("{path}.prefix"), prefix, names::is_env_var_name);
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (Some(_), Some(_)) => wrong.push(FieldError::invalid(&path, "", "may not have more than one field specified at a time")),
            (None, None) => wrong.push(FieldError::invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`")),
            (Some(map), None) if map.name.is_empty() => field::required(wrong, &format!("{path}.configMapRef.name")),
            (None, Some(secret)) if secret.name.is_empty() => field::required(wrong, &format!("{path}.secretRef.name")),
            _ => {}
        }
    }
}

fn check_mounts(container: &Container, around: &Around, path: &str, wrong: &mut Wrong) {
    let mut seen = BTreeSet::new();
    for (at, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let item = format!("{path}[{at}]");
        if mount.name.is_empty() {
            field::required(wrong, &format!("{item}.name"));
        } else if !around.volumes.contains(&*mount.name) {
            field::not_found(wrong, format!("{item}.name"), &mount.name);
        }
        if mount.mount_path.is_empty() {
            field::required(wrong, &format!("{item}.mountPath"));
        } else if !seen.insert(&mount.mount_path) {
            wrong.push(FieldError::invalid(format!("{item}.mountPath"), &*mount.mount_path, "must be unique"));
        }
        check_sub_path(mount, path, &item, wrong);
        let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
        match mount.mount_propagation.as_deref() {
            Some("Bidirectional") if !privileged => {
                let detail = "Bidirectional mount propagation is available only to privileged containers";
                wrong.push(FieldError::forbidden(format!("{path}.mountPropagation"), detail));
            }
            Some(other) => field::one_of(wrong, &format!("{path}.mountPropagation"), other, &["Bidirectional", "HostToContainer", "None"]),
            None => {}
        }
    }
}

/// The real server names the list here, not the mount in it, except where two fields exclude each other.
fn check_sub_path(mount: &VolumeMount, list: &str, item: &str, wrong: &mut Wrong) {
    let [plain, expression] = [&mount.sub_path, &mount.sub_path_expr].map(text);
    if !plain.is_empty() {
        field::inner_path(wrong, &format!("{list}.subPath"), plain);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            wrong.push(FieldError::invalid(format!("{item}.subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive"));
        }
        field::inner_path(wrong, &format!("{list}.subPathExpr"), expression);
    }
}
