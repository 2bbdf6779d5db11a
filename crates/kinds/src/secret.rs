//! Secret: `stringData` folded into `data`, the keys that each type must hold, and no change once immutable.
use crate::{
    Kind, Strategy,
    column::{entries, text as cell},
    config_map::{MAX_BYTES, keep, some},
    field::{self, Wrong, fill, text},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use knarr_machinery::{FieldError, names};
use serde_json::Value;

const SERVICE_ACCOUNT: &str = "kubernetes.io/service-account.name";
/// What messages show instead of what a Secret holds.
const REDACTED: &str = "<secret contents redacted>";

#[derive(Clone)]
pub(crate) struct Secrets;

pub(crate) fn columns(kind: Kind) -> Kind {
    kind.name_column()
        .column("Type", "string", |o, _| cell(o, "/type").into())
        .column("Data", "string", |o, _| entries(o, "/data").into())
        .age_column()
}

impl Strategy for Secrets {
    type Object = Secret;

    fn default(&self, new: &mut Secret) {
        fill(&mut new.type_, "Opaque");
        for (key, value) in new.string_data.take().into_iter().flatten() {
            new.data.get_or_insert_default().insert(key, ByteString(value.into_bytes()));
        }
    }

    fn check(&self, new: &Secret, old: Option<&Secret>) -> Vec<FieldError> {
        let mut wrong = vec![];
        let mut bytes = 0;
        for (key, value) in new.data.iter().flatten() {
            field::named(&mut wrong, &format!("data[{key}]"), key, names::is_config_map_key);
            bytes += value.0.len();
        }
        if bytes > MAX_BYTES {
            field::too_long(&mut wrong, "data", MAX_BYTES);
        }
        check_type(new, &mut wrong);
        let Some(old) = old else { return wrong };
        field::immutable(&mut wrong, "type", &new.type_, &old.type_);
        if old.immutable == Some(true) {
            keep(&mut wrong, "immutable", new.immutable == Some(true));
            keep(&mut wrong, "data", some(&new.data) == some(&old.data));
        }
        wrong
    }

    fn warnings(&self, new: &Secret) -> Vec<String> {
        let certificate = new.data.as_ref().filter(|_| text(&new.type_) == "kubernetes.io/tls").and_then(|data| data.get("tls.crt"));
        match certificate {
            Some(pem) if !pem.0.windows(10).any(|at| at == b"-----BEGIN") => {
                vec!["tls: failed to find any PEM data in certificate input".into()]
            }
            _ => vec![],
        }
    }
}

fn check_type(secret: &Secret, wrong: &mut Wrong) {
    let has = |key: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(key));
    let need = |keys: &[&str], wrong: &mut Wrong| {
        for key in keys.iter().filter(|key| !has(key)) {
            field::required(wrong, &format!("data[{key}]"));
        }
    };
    match text(&secret.type_) {
        "kubernetes.io/service-account-token" if names_no_account(secret) => {
            field::required(wrong, &format!("metadata.annotations[{SERVICE_ACCOUNT}]"));
        }
        "kubernetes.io/dockercfg" => check_json(secret, ".dockercfg", wrong),
        "kubernetes.io/dockerconfigjson" => check_json(secret, ".dockerconfigjson", wrong),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => need(&["username", "password"], wrong),
        "kubernetes.io/ssh-auth" => {
            let empty = secret.data.as_ref().and_then(|data| data.get("ssh-privatekey")).is_none_or(|key| key.0.is_empty());
            if empty {
                field::required(wrong, "data[ssh-privatekey]");
            }
        }
        "kubernetes.io/tls" => need(&["tls.crt", "tls.key"], wrong),
        _ => {}
    }
}

fn names_no_account(secret: &Secret) -> bool {
    secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(SERVICE_ACCOUNT)).is_none_or(String::is_empty)
}

fn check_json(secret: &Secret, key: &str, wrong: &mut Wrong) {
    let path = format!("data[{key}]");
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        None => field::required(wrong, &path),
        Some(bytes) => {
            if let Err(why) = serde_json::from_slice::<Value>(&bytes.0) {
                let detail = if why.is_eof() { "unexpected end of JSON input".to_owned() } else { why.to_string() };
                wrong.push(FieldError::invalid(path, REDACTED, detail));
            }
        }
    }
}
