//! The admission that a pod cannot do without, until the chain has a room of its own: namespaces that are there, and what Kubernetes'
//! default plugins add to pods. Pure.
use k8s_openapi::api::core::v1::{Pod, Toleration};
use knarr_cluster::Entry;
use knarr_kinds::Draft;
use knarr_machinery::{Cause, GroupResource, Key, Status};

/// These hold what every cluster relies on.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];
/// How long a pod stays bound to a node that does not answer.
const TOLERATION_SECONDS: i64 = 300;
const NODE_TROUBLES: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Nothing new comes into a namespace that is not there or going. `namespace` is its entry.
pub fn may_create(namespace: Option<&Entry>, resource: &GroupResource, key: &Key) -> Result<(), Status> {
    let Some(namespace) = namespace else { return Err(Status::not_found(&GroupResource::new("", "namespaces"), &key.namespace)) };
    if !namespace.meta.is_deleting() {
        return Ok(());
    }
    let name = &key.namespace;
    let mut status =
        Status::forbidden(resource, &key.name, &format!("unable to create new content in namespace {name} because it is being terminated"));
    if let Some(details) = &mut status.details {
        let message = format!("namespace {name} is being terminated");
        details.causes = vec![Cause { reason: "NamespaceTerminating".into(), message, field: "metadata.namespace".into() }];
    }
    Err(status)
}

pub fn may_delete(resource: &GroupResource, key: &Key) -> Result<(), Status> {
    let immortal = resource.group.is_empty() && &*resource.resource == "namespaces" && IMMORTAL.contains(&&*key.name);
    if immortal { Err(Status::forbidden(resource, &key.name, "this namespace may not be deleted")) } else { Ok(()) }
}

/// What the plugins that are on by default add to a new object.
pub fn complete(draft: &mut dyn Draft) {
    if let Some(pod) = draft.typed().downcast_mut::<Pod>() {
        complete_pod(pod);
    }
}

fn complete_pod(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    let account = spec.service_account_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into());
    spec.service_account = Some(account.clone());
    spec.service_account_name = Some(account);
    spec.priority.get_or_insert(0);
    spec.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".into());
    let tolerations = spec.tolerations.get_or_insert_default();
    for trouble in NODE_TROUBLES {
        let tolerated = tolerations.iter().any(|t| {
            let about = t.key.as_deref().unwrap_or_default();
            (about == *trouble || about.is_empty()) && matches!(t.effect.as_deref(), None | Some("" | "NoExecute"))
        });
        if !tolerated {
            tolerations.push(Toleration {
                key: Some((*trouble).into()),
                operator: Some("Exists".into()),
                effect: Some("NoExecute".into()),
                toleration_seconds: Some(TOLERATION_SECONDS),
                ..Toleration::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use knarr_machinery::Revision;
    use serde_json::json;

    fn namespace(deleting: bool) -> Entry {
        let when = deleting.then_some("2026-01-02T03:04:05Z");
        let object = json!({"metadata": {"name": "n", "deletionTimestamp": when}});
        Entry::read(Revision(1), Bytes::from(object.to_string())).unwrap()
    }

    #[test]
    fn a_namespace_that_goes_or_is_not_there_takes_nothing_new() {
        let check = |namespace: Option<Entry>, expected: Result<(), &str>| {
            let said = may_create(namespace.as_ref(), &GroupResource::new("", "configmaps"), &Key::new("n", "a"));
            assert_eq!(said.map_err(|s| s.message), expected.map_err(str::to_owned));
        };
        check(Some(namespace(false)), Ok(()));
        check(None, Err(r#"namespaces "n" not found"#));
        check(
            Some(namespace(true)),
            Err(r#"configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated"#),
        );
    }

    #[test]
    fn what_every_cluster_relies_on_stays() {
        let check =
            |plural: &str, name: &str, may: bool| assert_eq!(may_delete(&GroupResource::new("", plural), &Key::cluster(name)).is_ok(), may);
        check("namespaces", "default", false);
        check("namespaces", "kube-node-lease", true);
        check("configmaps", "default", true);
    }

    #[test]
    fn pods_get_an_account_and_time_on_a_silent_node() {
        let mut pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "tolerations": [{"key": NODE_TROUBLES[0], "operator": "Exists", "effect": "NoExecute"}]}})).unwrap();
        complete_pod(&mut pod);
        let spec = pod.spec.unwrap();
        let tolerations = spec.tolerations.unwrap();
        assert_eq!(
            (spec.service_account_name.as_deref(), spec.service_account.as_deref(), spec.priority),
            (Some("default"), Some("default"), Some(0))
        );
        assert_eq!(tolerations.iter().map(|t| t.toleration_seconds).collect::<Vec<_>>(), [None, Some(300)]);
    }
}
