//! What a pod's specification means where it says nothing.
use super::{fill_requests, image_pull_policy, volume};
use crate::field::{fill, text};
use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, HTTPGetAction, Lifecycle, PodSpec, Probe};

const GRACE_SECONDS: i64 = 30;

pub(crate) fn default(spec: &mut PodSpec) {
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(GRACE_SECONDS);
    default_account(spec);
    for volume in spec.volumes.iter_mut().flatten() {
        volume::default(volume);
    }
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        default_container(container);
    }
}

/// Two names of one field: the newer one wins, and both are shown.
fn default_account(spec: &mut PodSpec) {
    let name = [&spec.service_account_name, &spec.service_account].into_iter().map(text).find(|name| !name.is_empty()).map(String::from);
    spec.service_account_name.clone_from(&name);
    spec.service_account = name;
}

fn default_container(container: &mut Container) {
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    let policy = image_pull_policy(text(&container.image));
    fill(&mut container.image_pull_policy, policy);
    container.resources.get_or_insert_default();
    container.ports.iter_mut().flatten().for_each(default_port);
    container.env.iter_mut().flatten().for_each(default_variable);
    [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe]
        .into_iter()
        .flatten()
        .for_each(default_probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        default_lifecycle(lifecycle);
    }
}

fn default_port(port: &mut ContainerPort) {
    fill(&mut port.protocol, "TCP");
}

fn default_variable(variable: &mut EnvVar) {
    let Some(source) = &mut variable.value_from else { return };
    if let Some(field) = &mut source.field_ref {
        fill(&mut field.api_version, "v1");
    }
    if let Some(resource) = &mut source.resource_field_ref {
        volume::default_divisor(resource);
    }
}

fn default_probe(probe: &mut Probe) {
    for (count, value) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if count.is_none_or(|count| count == 0) {
            *count = Some(value);
        }
    }
    // Zero is what leaving it out means.
    probe.initial_delay_seconds = probe.initial_delay_seconds.filter(|seconds| *seconds != 0);
    if let Some(get) = &mut probe.http_get {
        default_http(get);
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn default_http(get: &mut HTTPGetAction) {
    fill(&mut get.path, "/");
    fill(&mut get.scheme, "HTTP");
}

fn default_lifecycle(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
        if let Some(get) = &mut handler.http_get {
            default_http(get);
        }
    }
}

/// What only a Pod itself is given, not a template: its defaults are fixed when it is made.
pub(crate) fn default_pod_only(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network == Some(true);
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        for port in container.ports.iter_mut().flatten().filter(|_| host_network) {
            if port.host_port.is_none_or(|port| port == 0) {
                port.host_port = Some(port.container_port);
            }
        }
        container.resources.iter_mut().for_each(fill_requests);
    }
    spec.resources.iter_mut().for_each(fill_requests);
}
