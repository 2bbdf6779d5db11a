//! The variables by which a container finds the Services of its namespace, as Kubernetes' documentation names them.
use super::Variables;
use knarr_cluster::views::Service;
use std::sync::Arc;

/// Later Services win where two make the same name.
pub(super) fn variables<'a>(api: impl Iterator<Item = &'a Arc<Service>>, services: &'a [Arc<Service>]) -> Variables {
    let mut variables = Variables::new();
    for service in services.iter().chain(api) {
        add(service, &mut variables);
    }
    variables
}

fn add(service: &Service, variables: &mut Variables) {
    let Some(address) = service.spec.cluster_ip.as_deref().filter(|address| !address.is_empty() && *address != "None") else { return };
    let Some(first) = service.spec.ports.first() else { return };
    let prefix = shout(&service.metadata.name);
    let mut set = |name: String, value: String| variables.insert(name, value);
    set(format!("{prefix}_SERVICE_HOST"), address.into());
    set(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    for (index, port) in service.spec.ports.iter().enumerate() {
        if !port.name.is_empty() {
            set(format!("{prefix}_SERVICE_PORT_{}", shout(&port.name)), port.port.to_string());
        }
        let protocol = if port.protocol.is_empty() { "TCP" } else { &*port.protocol };
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let one = format!("{prefix}_PORT_{}_{protocol}", port.port);
        set(one.clone(), url);
        set(format!("{one}_PROTO"), protocol.to_lowercase());
        set(format!("{one}_PORT"), port.port.to_string());
        set(format!("{one}_ADDR"), address.into());
    }
}

fn shout(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}
