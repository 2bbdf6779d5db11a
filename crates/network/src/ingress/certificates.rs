//! Which certificate the Ingress shows, by the name that the client asks for. From Secrets of type `kubernetes.io/tls`; one made at the start
//! answers where no other does.
use crate::{Error, Result};
use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use knarr_cluster::{
    Entry, Shelf, View,
    views::{Ingress, Secret},
};
use knarr_machinery::{Key, Revision};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Debug)]
pub struct Certificates {
    /// By host in lower case; `*.` in front for wildcards.
    by_host: ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>,
    default: Arc<CertifiedKey>,
    /// Secrets that were read before, so that a key is parsed once for each change of it.
    read: Mutex<BTreeMap<Key, Read>>,
}

/// A Secret at one revision, and its certificate if it is one.
type Read = (Revision, Option<Arc<CertifiedKey>>);

impl Certificates {
    pub fn new() -> Result<Self> {
        Ok(Self { by_host: ArcSwap::default(), default: Arc::new(made()?), read: Mutex::default() })
    }

    /// Takes the certificates that Ingresses name now. One that cannot be read is told once and left out.
    pub fn follow(&self, shelf: &Shelf, ingresses: &[Arc<Ingress>]) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = BTreeMap::new();
        let mut by_host = BTreeMap::new();
        for (host, secret) in named(ingresses) {
            let Some(entry) = shelf.get(&Secret::resource(), &secret) else { continue };
            let before = read.get(&secret).filter(|(revision, _)| *revision == entry.revision);
            let (_, certificate) =
                still.entry(secret).or_insert_with(|| before.cloned().unwrap_or_else(|| (entry.revision, understood(&entry))));
            if let Some(certificate) = certificate {
                by_host.entry(host).or_insert_with(|| Arc::clone(certificate));
            }
        }
        *read = still;
        self.by_host.store(Arc::new(by_host));
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let by_host = self.by_host.load();
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, rest)| by_host.get(&format!("*.{rest}")));
        by_host.get(&name).or_else(wildcard).unwrap_or(&self.default).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

/// Hosts and the Secrets of their certificates; the oldest Ingress first. Without hosts a Secret is for those of the Ingress's rules.
fn named(ingresses: &[Arc<Ingress>]) -> Vec<(String, Key)> {
    let mut by_age: Vec<_> = ingresses.iter().collect();
    by_age.sort_by_key(|ingress| (ingress.metadata.creation_timestamp, ingress.metadata.key()));
    let mut all = Vec::new();
    for ingress in by_age {
        for tls in &ingress.spec.tls {
            let Some(secret) = &tls.secret_name else { continue };
            let of_rules: Vec<_> = ingress.spec.rules.iter().filter_map(|rule| rule.host.as_deref()).collect();
            let hosts: Vec<_> = if tls.hosts.is_empty() { of_rules } else { tls.hosts.iter().map(|host| &**host).collect() };
            all.extend(hosts.iter().map(|host| (host.to_ascii_lowercase(), Key::new(&ingress.metadata.namespace, secret))));
        }
    }
    all
}

fn understood(entry: &Entry) -> Option<Arc<CertifiedKey>> {
    match certificate(&entry.view::<Secret>()) {
        Ok(certificate) => Some(Arc::new(certificate)),
        Err(why) => {
            tracing::warn!(secret = %entry.key, why, "a Secret is no certificate for the Ingress");
            None
        }
    }
}

/// Reads `tls.crt` and `tls.key`. The reasons name no data.
fn certificate(secret: &Secret) -> std::result::Result<CertifiedKey, &'static str> {
    let field = |name: &str, missing| secret.data.get(name).and_then(|data| STANDARD.decode(data.as_bytes()).ok()).ok_or(missing);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&field("tls.crt", "tls.crt is missing")?)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| "tls.crt is not PEM")?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate");
    }
    let key = PrivateKeyDer::from_pem_slice(&field("tls.key", "tls.key is missing")?).map_err(|_| "tls.key is not a PEM private key")?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|_| "tls.key does not fit tls.crt")
}

/// A certificate that nobody trusts, for hosts that bring none.
fn made() -> Result<CertifiedKey> {
    let failed = |error: &dyn std::fmt::Display| Error::Certificate(error.to_string());
    let made =
        rcgen::generate_simple_self_signed(vec!["ingress.knarr.local".into(), "localhost".into()]).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    CertifiedKey::from_der(vec![made.cert.der().clone()], key, &rustls::crypto::ring::default_provider()).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    /// Puts a Secret with a fresh certificate, or with what `broken` says instead of its key.
    fn put_secret(shelf: &Shelf, revision: u64, name: &str, broken: Option<&str>) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = broken.map_or_else(|| made.signing_key.serialize_pem(), str::to_owned);
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "default", "name": name},
            "data": {"tls.crt": STANDARD.encode(made.cert.pem()), "tls.key": STANDARD.encode(key)}});
        shelf.put(&Secret::resource(), Revision(revision), Bytes::from(object.to_string()));
        made.cert.der().to_vec()
    }

    fn ingress(tls: serde_json::Value) -> Arc<Ingress> {
        let rules = json!([{"host": "rule.org"}]);
        let object = json!({"metadata": {"namespace": "default", "name": "i"}, "spec": {"rules": rules, "tls": tls}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn shows_the_certificate_of_the_name() {
        let shelf = Shelf::new();
        let certificates = Certificates::new().unwrap();
        let (web, wild, rule) =
            (put_secret(&shelf, 1, "web", None), put_secret(&shelf, 2, "wild", None), put_secret(&shelf, 3, "rule", None));
        put_secret(&shelf, 4, "bad", Some("no key"));
        let tls = json!([{"hosts": ["Web.org"], "secretName": "web"}, {"hosts": ["*.wild.org"], "secretName": "wild"}, {"secretName": "rule"},
            {"hosts": ["bad.org"], "secretName": "bad"}, {"hosts": ["gone.org"], "secretName": "gone"}]);
        certificates.follow(&shelf, &[ingress(tls.clone())]);
        let default = certificates.default.cert[0].to_vec();
        for (name, expected) in [
            (Some("web.org"), &web),
            (Some("WEB.ORG"), &web),
            (Some("a.wild.org"), &wild),
            (Some("wild.org"), &default),
            (Some("a.b.wild.org"), &default),
            (Some("rule.org"), &rule),
            (Some("bad.org"), &default),
            (Some("gone.org"), &default),
            (None, &default),
        ] {
            assert!(certificates.find(name).cert[0].to_vec() == *expected, "{name:?}");
        }
        let renewed = put_secret(&shelf, 5, "web", None);
        certificates.follow(&shelf, &[ingress(tls)]);
        assert!(certificates.find(Some("web.org")).cert[0].to_vec() == renewed, "a renewed certificate is shown");
        certificates.follow(&shelf, &[]);
        assert!(certificates.find(Some("web.org")).cert[0].to_vec() == default, "one that nobody names any more is not");
    }
}
