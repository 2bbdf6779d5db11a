//! TLS of the kubelet's server: its own certificate, and who a client's certificate says that it is.
use crate::{config::Kubelet, error::Error};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The group of administrators.
const MASTERS: &str = "system:masters";
/// Who API servers are to kubelets, as kubeadm and others name them.
const API_SERVERS: [&str; 2] = ["kube-apiserver-kubelet-client", "kube-apiserver"];

/// Whom we speak with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// May ask everything.
    Trusted,
    /// Showed a certificate of this cluster that is not enough.
    Known,
    Unknown,
}

pub fn config(kubelet: &Kubelet) -> Result<ServerConfig, Error> {
    let wrong = |what: &str, why: String| Error::Tls(format!("{what}: {why}"));
    let certificates = |what: &str, pem: &str| -> Result<Vec<CertificateDer<'static>>, Error> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| wrong(what, e.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the clients' CA", &kubelet.client_ca_pem)? {
        roots.add(certificate).map_err(|e| wrong("the clients' CA", e.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    // Without a certificate one gets an answer, 401, rather than a broken connection.
    let verifier = verifier.allow_unauthenticated().build().map_err(|e| wrong("the clients' CA", e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(kubelet.key_pem.as_bytes()).map_err(|e| wrong("the key", e.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| wrong("versions", e.to_string()))?.with_client_cert_verifier(verifier);
    let chain = certificates("the certificate", &kubelet.certificate_pem)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|e| wrong("the certificate", e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificate was verified against the CA in the handshake.
pub fn peer(connection: &ServerConnection) -> Peer {
    connection.peer_certificates().and_then(|chain| chain.first()).map_or(Peer::Unknown, |certificate| who(certificate))
}

fn who(certificate: &[u8]) -> Peer {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Peer::Unknown };
    let subject = certificate.subject();
    let is_master = subject.iter_organization().any(|group| group.as_str() == Ok(MASTERS));
    let is_server = subject.iter_common_name().any(|name| name.as_str().is_ok_and(|name| API_SERVERS.contains(&name)));
    if is_master || is_server { Peer::Trusted } else { Peer::Known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    fn certificate(name: &str, group: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn trusts_administrators_and_api_servers_only() {
        assert_eq!(who(&certificate("kubernetes-admin", "system:masters")), Peer::Trusted);
        assert_eq!(who(&certificate("kube-apiserver-kubelet-client", "any")), Peer::Trusted);
        assert_eq!(who(&certificate("system:node:a", "system:nodes")), Peer::Known);
        assert_eq!(who(b"not a certificate"), Peer::Unknown);
    }
}
