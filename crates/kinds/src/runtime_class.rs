//! RuntimeClass: which runtime a pod asks for.
use crate::{Kind, Strategy, field, pod_spec};
use k8s_openapi::api::node::v1::RuntimeClass;
use knarr_machinery::{FieldError, names};

#[derive(Clone)]
pub(crate) struct RuntimeClasses;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column().text_column("Handler", "/handler", "").age_column()
}

impl Strategy for RuntimeClasses {
    type Object = RuntimeClass;

    fn check(&self, new: &RuntimeClass, old: Option<&RuntimeClass>) -> Vec<FieldError> {
        let mut wrong = vec![];
        field::named_and_there(&mut wrong, "handler", &new.handler, names::is_dns_label);
        if let Some(scheduling) = &new.scheduling {
            field::labels(&mut wrong, "scheduling.nodeSelector", scheduling.node_selector.iter().flatten());
            pod_spec::check_tolerations(scheduling.tolerations.as_deref().unwrap_or_default(), "scheduling.tolerations", &mut wrong);
        }
        if let Some(old) = old {
            field::immutable(&mut wrong, "handler", &new.handler, &old.handler);
        }
        wrong
    }
}
