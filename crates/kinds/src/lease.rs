//! Lease: who leads, or who is alive.
use crate::{Kind, Strategy, field};
use k8s_openapi::api::coordination::v1::Lease;
use knarr_machinery::FieldError;

const POSITIVE: &str = "must be greater than 0";

#[derive(Clone)]
pub(crate) struct Leases;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column().text_column("Holder", "/spec/holderIdentity", "").age_column()
}

impl Strategy for Leases {
    type Object = Lease;

    fn default(&self, new: &mut Lease) {
        new.spec.get_or_insert_default();
    }

    fn check(&self, new: &Lease, _old: Option<&Lease>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let Some(spec) = &new.spec else { return wrong };
        if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
            wrong.push(FieldError::invalid("spec.leaseDurationSeconds", seconds, POSITIVE));
        }
        field::not_negative(&mut wrong, "spec.leaseTransitions", spec.lease_transitions);
        wrong
    }
}
