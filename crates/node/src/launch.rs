//! What a container is started with. Pure.
use crate::{
    environment::{Variables, arguments},
    memory::{Here, Known},
    pod::{Container, Pod, Quantities},
};
use knarr_image::World;
use knarr_machinery::Quantity;
use knarr_runtime::{Container as Launch, Limits, Listen, Mount};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Where a component is served that names no port.
const DEFAULT_PORT: u16 = 8080;

/// Everything that was resolved for a start.
pub struct Resolved<'a> {
    pub here: &'a Here,
    pub variables: Variables,
    pub mounts: Vec<Mount>,
    pub address: IpAddr,
    pub data: &'a Path,
}

pub fn launch(pod: &Pod, index: usize, container: &Container, known: &Known, resolved: Resolved) -> Launch {
    let meta = &pod.metadata;
    let run_as_command = !(container.command.is_empty() && container.args.is_empty());
    let attempt = known.next_attempt();
    Launch {
        pod_uid: meta.uid.to_string(),
        pod: meta.key().to_string(),
        domain: meta.namespace.to_string(),
        name: container.name.to_string(),
        attempt,
        image: resolved.here.image.clone(),
        args: arguments(container, &resolved.variables),
        run_as_command,
        env: resolved.variables,
        mounts: resolved.mounts,
        limits: limits(&container.resources.limits),
        listen: listens(pod, index, resolved.here.world, run_as_command, resolved.address),
        log_path: log_folder(resolved.data, pod).join(&*container.name).join(format!("{attempt}.log")),
        stdin: container.stdin,
    }
}

/// The folder of a pod's logs: `<data>/logs/<namespace>_<name>_<uid>`, with `<container>/<attempt>.log` in it.
pub fn log_folder(data: &Path, pod: &Pod) -> PathBuf {
    let meta = &pod.metadata;
    data.join("logs").join(format!("{}_{}_{}", meta.namespace, meta.name, meta.uid))
}

fn limits(limits: &Quantities) -> Limits {
    let amount = |name: &str| limits.get(name).and_then(|text| Quantity::parse(text).ok());
    Limits {
        cpu_millis: amount("cpu").and_then(|cpu| u32::try_from(cpu.milli()).ok()).unwrap_or(0),
        memory_bytes: amount("memory").and_then(|memory| u64::try_from(memory.value()).ok()).unwrap_or(0),
    }
}

/// What a served container listens on: its ports, or 8080. The first of two containers that ask for the same port has it; what is not
/// served gets no socket, because a connection that nobody accepts is worse than one that is refused.
fn listens(pod: &Pod, index: usize, world: World, run_as_command: bool, address: IpAddr) -> Vec<Listen> {
    let is_plain_init = pod.is_init(index) && pod.container(index).is_some_and(|container| !container.is_sidecar());
    let is_served = match world {
        World::Command => false,
        World::Both => !run_as_command,
        World::Http | World::Other => true,
    };
    if is_plain_init || !is_served {
        return vec![];
    }
    let others =
        || pod.containers().enumerate().filter(|(other, container)| *other != index && (!pod.is_init(*other) || container.is_sidecar()));
    let is_taken = |port: u16| others().any(|(other, container)| other < index && container.tcp_ports().any(|one| one == port));
    let mut ports: Vec<u16> = Vec::new();
    for port in pod.container(index).into_iter().flat_map(Container::tcp_ports) {
        if !ports.contains(&port) && !is_taken(port) {
            ports.push(port);
        }
    }
    let has_own = pod.container(index).is_some_and(|container| container.tcp_ports().next().is_some());
    let is_default_free = others().all(|(other, container)| {
        let mut ports = container.tcp_ports().peekable();
        let takes_default = other < index && ports.peek().is_none();
        !takes_default && ports.all(|port| port != DEFAULT_PORT)
    });
    if !has_own && is_default_free {
        ports.push(DEFAULT_PORT);
    }
    ports.into_iter().map(|port| Listen { address: SocketAddr::new(address, port) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn ports(pod: serde_json::Value, index: usize, world: World, run_as_command: bool) -> Vec<u16> {
        let pod: Pod = from_value(json!({ "spec": pod })).unwrap();
        listens(&pod, index, world, run_as_command, [10, 0, 0, 1].into()).iter().map(|listen| listen.address.port()).collect()
    }

    #[test]
    fn listens_on_the_containers_ports_or_on_8080() {
        let with =
            |ports: &[u16]| json!({"containers": [{"ports": ports.iter().map(|p| json!({"containerPort": p})).collect::<Vec<_>>()}]});
        assert_eq!(ports(with(&[]), 0, World::Http, false), [8080]);
        assert_eq!(ports(with(&[80, 81, 80]), 0, World::Http, false), [80, 81]);
        assert_eq!(ports(with(&[80]), 0, World::Http, true), [80]);
        assert_eq!(ports(with(&[80]), 0, World::Both, true), Vec::<u16>::new());
        assert_eq!(ports(with(&[80]), 0, World::Command, false), Vec::<u16>::new());
    }

    #[test]
    fn two_containers_never_share_a_port() {
        let two = |a: serde_json::Value, b: serde_json::Value| json!({"containers": [{"ports": a}, {"ports": b}]});
        let none = || two(json!([]), json!([]));
        assert_eq!((ports(none(), 0, World::Http, false), ports(none(), 1, World::Http, false)), (vec![8080], vec![]));
        let taken = || two(json!([]), json!([{"containerPort": 8080}]));
        assert_eq!((ports(taken(), 0, World::Http, false), ports(taken(), 1, World::Http, false)), (vec![], vec![8080]));
        let same = || two(json!([{"containerPort": 80}]), json!([{"containerPort": 80}, {"containerPort": 81}]));
        assert_eq!((ports(same(), 0, World::Http, false), ports(same(), 1, World::Http, false)), (vec![80], vec![81]));
    }

    #[test]
    fn an_init_container_listens_on_nothing() {
        let pod = json!({"initContainers": [{"ports": [{"containerPort": 80}]}], "containers": [{}]});
        assert_eq!((ports(pod.clone(), 0, World::Http, false), ports(pod, 1, World::Http, false)), (vec![], vec![8080]));
    }

    #[test]
    fn limits_are_thousandths_of_a_core_and_bytes() {
        let said = Quantities::from([("cpu".into(), "1500m".into()), ("memory".into(), "64Mi".into())]);
        assert_eq!(limits(&said), Limits { cpu_millis: 1500, memory_bytes: 64 << 20 });
        assert_eq!(limits(&Quantities::new()), Limits { cpu_millis: 0, memory_bytes: 0 });
    }
}
