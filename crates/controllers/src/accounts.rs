//! What every namespace gets by itself: `serviceaccount-controller` makes the account `default`, `root-ca-cert-publisher` the cluster's CA.
use jiff::Timestamp;
use knarr_cluster::{
    Shelf, View,
    views::{ConfigMap, Namespace, ServiceAccount},
};
use knarr_machinery::Key;
use knarr_reconcile::{Action, Change, Controller, Object, Plan, Source};
use serde_json::json;
use std::sync::Arc;

const DEFAULT_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or \
     kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

pub struct ServiceAccounts;

/// Publishes this certificate.
pub struct RootCa {
    pub pem: Arc<str>,
}

/// The namespace, and what it should have if it has it. Nothing is made in one that is on its way out.
pub struct Look<V> {
    namespace: Arc<Namespace>,
    has: Option<Arc<V>>,
}

impl Controller for ServiceAccounts {
    const NAME: &'static str = "serviceaccount-controller";
    type Key = Key;
    type Look = Look<ServiceAccount>;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::itself::<Namespace>(), namespace_of::<ServiceAccount>(DEFAULT_ACCOUNT)]
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Self::Look> {
        look(shelf, key, DEFAULT_ACCOUNT)
    }

    fn reconcile(&self, look: &Self::Look, _now: Timestamp) -> Plan {
        if look.has.is_some() || look.namespace.metadata.is_deleting() {
            return Plan::nothing();
        }
        let metadata = json!({"namespace": look.namespace.metadata.name, "name": DEFAULT_ACCOUNT});
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        Plan::nothing().then(Action::Create { resource: ServiceAccount::resource(), object, say: None })
    }
}

impl Controller for RootCa {
    const NAME: &'static str = "root-ca-certificate-publisher-controller";
    type Key = Key;
    type Look = Look<ConfigMap>;

    fn sources(&self) -> Vec<Source<Key>> {
        vec![Source::itself::<Namespace>(), namespace_of::<ConfigMap>(ROOT_CA)]
    }

    fn look(&self, shelf: &Shelf, key: &Key) -> Option<Self::Look> {
        look(shelf, key, ROOT_CA)
    }

    fn reconcile(&self, look: &Self::Look, _now: Timestamp) -> Plan {
        if look.namespace.metadata.is_deleting() {
            return Plan::nothing();
        }
        let data = json!({"ca.crt": &*self.pem});
        let (key, text) = DESCRIPTION;
        match &look.has {
            Some(map) if json!(map.data) == data => Plan::nothing(),
            Some(map) => {
                let gone = map.data.keys().filter(|key| &***key != "ca.crt").map(|key| (key.to_string(), serde_json::Value::Null));
                let mut patched = data.as_object().cloned().unwrap_or_default();
                patched.extend(gone);
                Plan::nothing().then(Action::Patch { of: Object::of(&**map), patch: json!({"data": patched}), revision: None })
            }
            None => {
                let metadata = json!({"namespace": look.namespace.metadata.name, "name": ROOT_CA, "annotations": {key: text}});
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
                Plan::nothing().then(Action::Create { resource: ConfigMap::resource(), object, say: None })
            }
        }
    }
}

fn look<V: View>(shelf: &Shelf, namespace: &Key, name: &str) -> Option<Look<V>> {
    Some(Look { namespace: shelf.view(namespace)?, has: shelf.view(&Key::new(&namespace.name, name)) })
}

/// The namespace of an object of one name.
fn namespace_of<V: View>(name: &'static str) -> Source<Key> {
    Source::by(V::resource(), move |_, change: Change<'_>| {
        let key = &change.object().key;
        if *key.name == *name { vec![Key::cluster(&key.namespace)] } else { vec![] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::said;
    use serde_json::{Value, from_value};

    fn namespace(is_deleting: &str) -> Arc<Namespace> {
        let deleted = if is_deleting.is_empty() { Value::Null } else { json!("2024-01-01T00:00:00Z") };
        Arc::new(from_value(json!({"metadata": {"name": "one", "deletionTimestamp": deleted}})).unwrap())
    }

    fn account(state: &str, has: bool) -> String {
        let has = has.then(|| Arc::new(from_value(json!({"metadata": {"name": "default"}})).unwrap()));
        said(&ServiceAccounts.reconcile(&Look { namespace: namespace(state), has }, Timestamp::UNIX_EPOCH))
    }

    fn ca(state: &str, data: Option<Value>) -> String {
        let has = data.map(|data| Arc::new(from_value(json!({"metadata": {"name": ROOT_CA}, "data": data})).unwrap()));
        said(&RootCa { pem: "PEM".into() }.reconcile(&Look { namespace: namespace(state), has }, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn every_namespace_has_a_default_account() {
        assert_eq!(account("", false), "create serviceaccounts default");
        assert_eq!(account("", true), "");
        assert_eq!(account("deleting", false), "");
    }

    #[test]
    fn every_namespace_knows_the_certificate() {
        assert_eq!(ca("", None), "create configmaps kube-root-ca.crt");
        assert_eq!(ca("", Some(json!({"ca.crt": "PEM"}))), "");
        assert_eq!(ca("", Some(json!({"ca.crt": "OLD"}))), "patch configmaps kube-root-ca.crt");
        assert_eq!(ca("", Some(json!({"ca.crt": "PEM", "x": "y"}))), "patch configmaps kube-root-ca.crt");
        assert_eq!(ca("deleting", None), "");
    }
}
