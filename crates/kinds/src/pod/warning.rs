//! What a pod says that is accepted but will not do what it looks like.
use crate::{field::text, pod_spec};
use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};
use std::collections::BTreeSet;

pub(crate) fn about(spec: &PodSpec, path: &str) -> Vec<String> {
    let mut said = vec![];
    for (at, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            said.push(format!("{path}.imagePullSecrets[{at}].name: invalid empty name \"\""));
        }
    }
    for (at, volume) in spec.volumes.iter().flatten().enumerate() {
        if volume.git_repo.is_some() {
            said.push(format!("{path}.volumes[{at}].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"));
        }
        if volume.rbd.is_some() {
            said.push(format!("{path}.volumes[{at}].rbd: deprecated in v1.28, non-functional in v1.31+"));
        }
    }
    let lists: [(&str, &[Container]); 2] =
        [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers)];
    for (list, containers) in lists {
        for (at, container) in containers.iter().enumerate() {
            about_container(container, &format!("{path}.{list}[{at}]"), &mut said);
        }
    }
    said
}

fn about_container(container: &Container, path: &str, said: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (at, variable) in container.env.iter().flatten().enumerate() {
        if !seen.insert(&variable.name) {
            said.push(format!("{path}.env[{at}]: hides previous definition of {:?}, which may be dropped when using apply", variable.name));
        }
    }
    let ports = container.ports.as_deref().unwrap_or_default();
    let key = |port: &ContainerPort| (port.container_port, text(&port.protocol).to_owned(), port.host_port, text(&port.host_ip).to_owned());
    for (at, port) in ports.iter().enumerate() {
        if let Some(first) = ports[..at].iter().position(|other| key(other) == key(port)) {
            said.push(format!("{path}.ports[{at}]: duplicate port definition with {path}.ports[{first}]"));
        }
    }
    if let Some(resources) = &container.resources {
        pod_spec::resource_warnings(resources, &format!("{path}.resources"), said);
    }
}
