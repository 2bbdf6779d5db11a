//! The kinds that ship with the server.
use crate::{Kind, Sub};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

pub fn builtin() -> Vec<Kind> {
    vec![
        Kind::of::<Pod>().short("po").category("all").sub(&[Sub::Status, Sub::Log, Sub::Binding]).generation(),
        Kind::of::<ConfigMap>().short("cm"),
    ]
}
