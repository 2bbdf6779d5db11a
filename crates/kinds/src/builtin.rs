//! The kinds that ship with the server: a row each. What is special about one stands in its own file.
use crate::{
    Kind,
    Sub::{Attach, Binding, EphemeralContainers, Eviction, Exec, Finalize, Log, PortForward, Proxy, Resize, Scale, Status, Token},
    config_map, deployment, endpoint_slice, endpoints, event, ingress, lease, namespace, node,
    object_meta::Naming,
    pod, priority_class, replica_set, runtime_class, secret, service,
};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    authentication::v1::SelfSubjectReview,
    authorization::v1::SelfSubjectAccessReview,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount},
    discovery::v1::EndpointSlice,
    events::v1::Event as NewEvent,
    networking::v1::{Ingress, IngressClass},
    node::v1::RuntimeClass,
    scheduling::v1::PriorityClass,
};

/// All rows; within a group in the order of their plurals, as discovery lists them.
pub fn builtin() -> Vec<Kind> {
    [core(), apps(), others()].concat()
}

fn core() -> Vec<Kind> {
    let pods = [Attach, Binding, EphemeralContainers, Eviction, Exec, Log, PortForward, Proxy, Resize, Status];
    vec![
        config_map::columns(Kind::of::<ConfigMap>().short("cm").strategy(config_map::ConfigMaps)),
        endpoints::columns(Kind::of::<Endpoints>().short("ep").create_on_update().strategy(endpoints::AllEndpoints)),
        event::columns(Kind::of::<Event>().short("ev").create_on_update().strategy(event::Events)),
        namespace::columns(
            Kind::of::<Namespace>().short("ns").sub(&[Finalize, Status]).naming(Naming::Label).strategy(namespace::Namespaces),
        ),
        node::columns(Kind::of::<Node>().short("no").sub(&[Proxy, Status]).keeps_status().strategy(node::Nodes)),
        pod::columns(Kind::of::<Pod>().short("po").category("all").sub(&pods).generation().strategy(pod::Pods)),
        secret::columns(Kind::of::<Secret>().strategy(secret::Secrets)),
        Kind::of::<ServiceAccount>().short("sa").sub(&[Token]).name_column().age_column(),
        service::columns(
            Kind::of::<Service>()
                .short("svc")
                .category("all")
                .sub(&[Proxy, Status])
                .naming(Naming::Service)
                .create_on_update()
                .strategy(service::Services),
        ),
    ]
}

fn apps() -> Vec<Kind> {
    vec![
        deployment::columns(
            Kind::of::<Deployment>().short("deploy").category("all").sub(&[Scale, Status]).generation().strategy(deployment::Deployments),
        ),
        replica_set::columns(
            Kind::of::<ReplicaSet>().short("rs").category("all").sub(&[Scale, Status]).generation().strategy(replica_set::ReplicaSets),
        ),
    ]
}

fn others() -> Vec<Kind> {
    vec![
        Kind::of::<SelfSubjectReview>().ephemeral(),
        Kind::of::<SelfSubjectAccessReview>().ephemeral(),
        lease::columns(Kind::of::<Lease>().create_on_update().strategy(lease::Leases)),
        endpoint_slice::columns(Kind::of::<EndpointSlice>().generation().strategy(endpoint_slice::EndpointSlices)),
        event::columns(
            Kind::of::<NewEvent>()
                .short("ev")
                .create_on_update()
                .stored_as::<Event>(event::to_stored, event::to_served)
                .strategy(event::NewEvents),
        ),
        ingress::class_columns(Kind::of::<IngressClass>().generation().strategy(ingress::IngressClasses)),
        ingress::columns(Kind::of::<Ingress>().short("ing").sub(&[Status]).generation().strategy(ingress::Ingresses)),
        runtime_class::columns(Kind::of::<RuntimeClass>().strategy(runtime_class::RuntimeClasses)),
        priority_class::columns(Kind::of::<PriorityClass>().short("pc").generation().strategy(priority_class::PriorityClasses)),
    ]
}

#[cfg(test)]
mod tests;
