//! Namespace: held by the `kubernetes` finalizer until it is empty, and labelled with its own name.
use crate::{Kind, Strategy, object_meta};
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use knarr_machinery::FieldError;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

#[derive(Clone)]
pub(crate) struct Namespaces;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column().text_column("Status", "/status/phase", "").age_column()
}

impl Strategy for Namespaces {
    type Object = Namespace;

    fn default(&self, new: &mut Namespace) {
        if let Some(name) = new.metadata.name.clone().filter(|name| !name.is_empty()) {
            new.metadata.labels.get_or_insert_default().insert(NAME_LABEL.into(), name);
        }
        let active = || "Active".into();
        new.status.get_or_insert_default().phase.get_or_insert_with(active);
    }

    fn prepare(&self, new: &mut Namespace, old: Option<&Namespace>) {
        match old {
            None => {
                new.status = Some(NamespaceStatus { phase: Some("Active".into()), conditions: None });
                let finalizers = new.spec.get_or_insert_default().finalizers.get_or_insert_default();
                if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                    finalizers.push(FINALIZER.into());
                }
            }
            // Finalizers are taken away through /finalize only.
            Some(old) => new.spec.get_or_insert_default().finalizers = old.spec.as_ref().and_then(|spec| spec.finalizers.clone()),
        }
    }

    fn check(&self, new: &Namespace, _old: Option<&Namespace>) -> Vec<FieldError> {
        let mut wrong = vec![];
        for finalizer in new.spec.iter().filter_map(|spec| spec.finalizers.as_ref()).flatten() {
            object_meta::check_finalizer(finalizer, "spec.finalizers", &mut wrong);
        }
        wrong
    }

    fn check_status(&self, new: &Namespace, _old: &Namespace) -> Vec<FieldError> {
        let phase = new.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let deleting = new.metadata.deletion_timestamp.is_some();
        match phase {
            "Active" if deleting => {
                vec![FieldError::invalid("status.phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
            }
            "Terminating" if !deleting => {
                vec![FieldError::invalid("status.phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
            }
            _ => vec![],
        }
    }
}
