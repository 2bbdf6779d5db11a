//! May they: a pure function over who asks and what for. Roles and bindings come later; until then the groups of Kubernetes' own
//! components decide.
use knarr_cluster::Identity;
use knarr_machinery::{Details, GroupResource, Reason, Status};

/// What somebody wants to do, in the words of an RBAC rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked<'a> {
    Resource { verb: &'a str, resource: &'a GroupResource, subresource: Option<&'a str>, namespace: &'a str, name: &'a str },
    Path { verb: &'a str, path: &'a str },
}

const MASTERS: &str = "system:masters";
const NODES: &str = "system:nodes";
const READ: &[&str] = &["get", "list", "watch"];
/// Health and version: for everybody, load balancers and probes among them.
const PUBLIC: &[&str] = &["/livez", "/readyz", "/healthz", "/version"];
/// What a client looks at before it knows what there is: for who has shown who they are.
const DISCOVERY: &[&str] = &["/api", "/apis", "/openapi"];
/// Questions about oneself.
const SELF: &[&str] = &["selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"];

/// What an agent reads beside its own pods: group and plural. ConfigMaps and Secrets it asks for by name.
const NODE_READS: &[(&str, &str)] = &[
    ("", "services"),
    ("", "endpoints"),
    ("", "nodes"),
    ("", "namespaces"),
    ("", "pods"),
    ("", "configmaps"),
    ("", "secrets"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "networkpolicies"),
    ("node.k8s.io", "runtimeclasses"),
    ("coordination.k8s.io", "leases"),
];
/// A node reads those that its pods name, one by one (also by list and watch with `metadata.name`), and never all of a namespace.
const BY_NAME_ONLY: &[&str] = &["configmaps", "secrets"];
/// What an agent writes: group, plural, subresource, verbs. Its own Node and Lease are checked by name beside.
const NODE_WRITES: &[(&str, &str, &str, &[&str])] = &[
    ("", "nodes", "", &["create", "update", "patch"]),
    ("", "nodes", "status", &["update", "patch"]),
    ("", "pods", "", &["create", "delete"]),
    ("", "pods", "status", &["update", "patch"]),
    ("", "events", "", &["create", "update", "patch"]),
    ("events.k8s.io", "events", "", &["create", "update", "patch"]),
    ("", "serviceaccounts", "token", &["create"]),
    ("coordination.k8s.io", "leases", "", &["create", "update", "patch", "delete"]),
    ("networking.k8s.io", "ingresses", "status", &["update", "patch"]),
    ("authentication.k8s.io", "tokenreviews", "", &["create"]),
    ("authorization.k8s.io", "subjectaccessreviews", "", &["create"]),
];

/// Allows, or says no in Kubernetes' words.
pub fn authorize(who: &Identity, asked: &Asked<'_>) -> Result<(), Status> {
    if is_allowed(who, asked) { Ok(()) } else { Err(asked.refusal(who)) }
}

fn is_allowed(who: &Identity, asked: &Asked<'_>) -> bool {
    let in_group = |group: &str| who.groups.iter().any(|g| g == group);
    let known = in_group(crate::authenticate::AUTHENTICATED);
    if in_group(MASTERS) || (known && is_component(&who.user)) {
        return true;
    }
    match asked {
        Asked::Path { verb, path } => *verb == "get" && (below(PUBLIC, path) || (known && below(DISCOVERY, path))),
        Asked::Resource { verb: "create", resource, subresource: None, .. } if SELF.contains(&&*resource.resource) => known,
        Asked::Resource { .. } => in_group(NODES) && may_node(who, asked),
    }
}

/// Kubernetes' own control loops, until RBAC knows what each of them needs.
fn is_component(user: &str) -> bool {
    user.starts_with("system:kube-") || user.starts_with("system:serviceaccount:kube-system:") || user == "system:apiserver"
}

fn below(roots: &[&str], path: &str) -> bool {
    roots.iter().any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// What the agent of a node needs, and on its own Node and Lease only.
fn may_node(who: &Identity, asked: &Asked<'_>) -> bool {
    let Asked::Resource { verb, resource, subresource, namespace, name } = asked else { return false };
    let (group, plural) = (&*resource.group, &*resource.resource);
    if subresource.is_none() && READ.contains(verb) && NODE_READS.contains(&(group, plural)) {
        return !BY_NAME_ONLY.contains(&plural) || !name.is_empty();
    }
    let listed = |(g, p, s, verbs): &(&str, &str, &str, &[&str])| {
        *g == group && *p == plural && *s == subresource.unwrap_or_default() && verbs.contains(verb)
    };
    let own = who.user.strip_prefix("system:node:").unwrap_or_default();
    let about_itself = match (group, plural) {
        // A create carries its name in the body; a later write names the object.
        ("", "nodes") => *verb == "create" || *name == own,
        ("coordination.k8s.io", "leases") => *namespace == "kube-node-lease" && (*verb == "create" || *name == own),
        _ => true,
    };
    about_itself && NODE_WRITES.iter().any(listed)
}

impl Asked<'_> {
    fn refusal(&self, who: &Identity) -> Status {
        match self {
            Self::Path { verb, path } => {
                let mut status = Status::new(403, Reason::Forbidden, format!("forbidden: User {:?} cannot {verb} path {path:?}", who.user));
                status.details = Some(Box::new(Details::default()));
                status
            }
            Self::Resource { verb, resource, subresource, namespace, name } => {
                let sub = subresource.map(|sub| format!("/{sub}")).unwrap_or_default();
                let place = if namespace.is_empty() { "at the cluster scope".into() } else { format!("in the namespace {namespace:?}") };
                let why = format!(
                    "User {:?} cannot {verb} resource \"{}{sub}\" in API group {:?} {place}",
                    who.user, resource.resource, &*resource.group
                );
                Status::forbidden(resource, name, &why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VERB resource.group[/sub] [namespace/][name]`, or `VERB /path`.
    fn ask(user: &str, words: &str) -> Result<(), Status> {
        let who = match user {
            "" => crate::anonymous(),
            "master" => Identity { user: "m".into(), groups: vec![MASTERS.into(), "system:authenticated".into()], ..Identity::default() },
            node if node.starts_with("node-") => Identity::node(node),
            controller if controller.ends_with("-controller") => Identity::controller(controller),
            user => Identity { user: user.into(), groups: vec!["system:authenticated".into()], ..Identity::default() },
        };
        let mut words = words.split(' ');
        let (verb, what) = (words.next().unwrap(), words.next().unwrap());
        if what.starts_with('/') {
            return authorize(&who, &Asked::Path { verb, path: what });
        }
        let (what, subresource) = what.split_once('/').map_or((what, None), |(what, sub)| (what, Some(sub)));
        let (plural, group) = what.split_once('.').unwrap_or((what, ""));
        let (namespace, name) = words.next().unwrap_or_default().split_once('/').unwrap_or_default();
        authorize(&who, &Asked::Resource { verb, resource: &GroupResource::new(group, plural), subresource, namespace, name })
    }

    #[test]
    fn everybody_gets_what_their_part_needs() {
        for (user, words, expected) in [
            ("", "get /version", true),
            ("", "get /readyz/ping", true),
            ("", "get /readyzzz", false),
            ("", "get /api", false),
            ("", "post /version", false),
            ("", "create selfsubjectreviews.authentication.k8s.io", false),
            ("jane", "get /apis/apps", true),
            ("jane", "get /metrics", false),
            ("jane", "create selfsubjectreviews.authentication.k8s.io", true),
            ("jane", "list pods ns/", false),
            ("master", "get /metrics", true),
            ("master", "delete nodes /n", true),
            ("deployment-controller", "create pods ns/", true),
            ("system:kube-scheduler", "create pods/binding ns/p", true),
            ("node-1", "list pods", true),
            ("node-1", "patch pods/status ns/p", true),
            ("node-1", "patch pods ns/p", false),
            ("node-1", "delete pods ns/p", true),
            ("node-1", "get secrets ns/s", true),
            ("node-1", "watch secrets ns/s", true),
            ("node-1", "list secrets ns/", false),
            ("node-1", "list configmaps", false),
            ("node-1", "create secrets ns/s", false),
            ("node-1", "create nodes", true),
            ("node-1", "patch nodes/status /node-1", true),
            ("node-1", "patch nodes/status /node-2", false),
            ("node-1", "delete nodes /node-1", false),
            ("node-1", "update leases.coordination.k8s.io kube-node-lease/node-1", true),
            ("node-1", "update leases.coordination.k8s.io kube-node-lease/node-2", false),
            ("node-1", "update leases.coordination.k8s.io kube-system/node-1", false),
            ("node-1", "create events ns/", true),
            ("node-1", "patch ingresses.networking.k8s.io/status ns/i", true),
            ("node-1", "get /metrics", false),
        ] {
            assert_eq!(ask(user, words).is_ok(), expected, "{user}: {words}");
        }
    }

    #[test]
    fn a_name_alone_makes_nobody_a_component() {
        let impostor =
            Identity { user: "system:kube-scheduler".into(), groups: vec!["system:unauthenticated".into()], ..Identity::default() };
        assert!(authorize(&impostor, &Asked::Path { verb: "get", path: "/metrics" }).is_err());
    }

    #[test]
    fn says_no_as_a_real_server_does() {
        for (words, said) in [
            ("list pods ns/", r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "ns""#),
            (
                "get pods/log ns/a",
                r#"pods "a" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "ns""#,
            ),
            (
                "get deployments.apps/scale ns/d",
                r#"deployments.apps "d" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" in the namespace "ns""#,
            ),
            ("list nodes", r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope"#),
            ("get /metrics", r#"forbidden: User "jane" cannot get path "/metrics""#),
        ] {
            assert_eq!(ask("jane", words).unwrap_err().message, said);
        }
    }
}
