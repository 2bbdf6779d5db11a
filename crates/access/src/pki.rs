//! The cluster's certificates: a CA that lives in the data folder, a serving certificate made anew at each start, client certificates on demand.
//!
//! Only the CA's key and the secret of joining nodes are worth keeping, so nothing else is: a new start brings a fresh serving certificate
//! with the names that are asked for then, and nobody has to renew anything on disk.
use crate::Error;
use knarr_cluster::remote::JoinToken;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// As kubeadm's: the CA outlives the machines it starts on.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A server is started, and a kubeconfig written, more often than once a year.
const LEAF_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Other machines' clocks may be behind by so much.
const CLOCK_SKEW: Duration = DAY;
/// Names that every API server answers to.
const ALWAYS: [&str; 6] =
    ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// The CA and what it signed for this process.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    ca_pem: String,
    secret: String,
    serving: ClientCert,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct ClientCert {
    pub certificate_pem: String,
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Pki {
    /// Opens the CA in `dir`, or makes one (files 0600, folder 0700), and signs a serving certificate for `names` (host names and addresses)
    /// beside those that every API server has.
    pub fn open_or_create(dir: &Path, names: &[String]) -> Result<Self, Error> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| Error::File { path: dir.to_owned(), source })?;
        let key_pem = keep(&dir.join("ca.key"), || Ok(new_key()?.serialize_pem()))?;
        let damaged = |file: &str, what| Error::Damaged { path: dir.join(file), what };
        let key = KeyPair::from_pem(&key_pem).map_err(|_| damaged("ca.key", "key"))?;
        let ca_pem = keep(&dir.join("ca.crt"), || Ok(ca_params()?.self_signed(&key)?.pem()))?;
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|_| damaged("ca.crt", "certificate"))?;
        let issuer = Issuer::from_ca_cert_der(&ca, key).map_err(|_| damaged("ca.crt", "certificate"))?;
        let secret = keep(&dir.join("node-secret"), || Ok(new_secret()))?;
        let serving = sign(&issuer, serving_params(names)?)?;
        Ok(Self { issuer, ca, ca_pem, secret, serving })
    }

    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// A certificate that authenticates a user: CN is the user, O the group.
    pub fn client_cert(&self, user: &str, groups: &[&str]) -> Result<ClientCert, Error> {
        let mut params = leaf_params(vec![])?;
        params.distinguished_name.push(DnType::CommonName, user);
        match groups {
            [] => {}
            [group] => params.distinguished_name.push(DnType::OrganizationName, *group),
            more => return Err(Error::Groups(more.len())),
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(&self.issuer, params)
    }

    /// The text of a kubeconfig with one cluster, one user and one context.
    pub fn kubeconfig(&self, server_url: &str, user: &str, groups: &[&str]) -> Result<String, Error> {
        let cert = self.client_cert(user, groups)?;
        let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "knarr",
            "clusters": [{"name": "knarr", "cluster": {"server": server_url, "certificate-authority-data": encode(&self.ca_pem)}}],
            "users": [{"name": user, "user": {"client-certificate-data": encode(&cert.certificate_pem), "client-key-data": encode(&cert.key_pem)}}],
            "contexts": [{"name": "knarr", "context": {"cluster": "knarr", "user": user, "namespace": "default"}}],
        });
        Ok(format!("{config:#}\n"))
    }

    /// What `knarr agent --token` takes.
    pub fn join_token(&self) -> JoinToken {
        JoinToken { ca_sha256: Sha256::digest(&self.ca).into(), secret: self.secret.clone() }
    }

    /// Does a joining node know the secret? Takes the same time for all wrong answers.
    pub fn is_node_secret(&self, secret: &str) -> bool {
        Sha256::digest(secret) == Sha256::digest(&self.secret)
    }

    /// TLS of the API: client certificates are welcome, not demanded. The CA is sent along, so that who joins can hold it against its token.
    pub fn server_config(&self) -> Result<rustls::ServerConfig, Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let chain = vec![self.serving.certificate.clone(), self.ca.clone()];
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, self.serving.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ClientCert {
    /// For rustls: the chain and the key.
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], self.key.clone_key())
    }
}

/// Reads a file, or makes it. A file of half a write cannot be: it is linked into place when it is whole.
fn keep(path: &Path, make: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let text = make()?;
    let unfinished = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&unfinished, path).map_err(failed)?;
    Ok(text)
}

fn new_key() -> Result<KeyPair, Error> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// 256 bits, in letters that survive a shell.
fn new_secret() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ca_params() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec![])?;
    params.distinguished_name.push(DnType::CommonName, "knarr-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    live_for(&mut params, CA_LIFE);
    Ok(params)
}

fn leaf_params(names: Vec<String>) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    live_for(&mut params, LEAF_LIFE);
    Ok(params)
}

fn serving_params(names: &[String]) -> Result<CertificateParams, Error> {
    let mut all: Vec<String> = ALWAYS.map(Into::into).into();
    all.extend(names.iter().filter(|name| !ALWAYS.contains(&name.as_str())).cloned());
    let mut params = leaf_params(all)?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn live_for(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + life).into();
}

fn sign(issuer: &Issuer<'static, KeyPair>, params: CertificateParams) -> Result<ClientCert, Error> {
    let key = new_key()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(ClientCert {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        certificate: certificate.der().clone(),
        key: Arc::new(PrivatePkcs8KeyDer::from(key.serialize_der()).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_same_ca_and_secret_come_back_and_only_the_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("server/pki");
        let (first, second) = (Pki::open_or_create(&folder, &[]).unwrap(), Pki::open_or_create(&folder, &["example.com".into()]).unwrap());
        assert_eq!(first.join_token().to_string(), second.join_token().to_string());
        assert_ne!(first.serving.certificate_pem, second.serving.certificate_pem);
        for file in ["ca.key", "ca.crt", "node-secret"] {
            assert_eq!(fs::metadata(folder.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
        let used_before = second.client_cert("admin", &["system:masters"]).unwrap();
        assert_eq!(crate::by_certificate(&used_before.certificate).unwrap().groups, ["system:masters", "system:authenticated"]);
    }

    #[test]
    fn a_damaged_ca_is_told_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open_or_create(dir.path(), &[]).unwrap();
        fs::write(dir.path().join("ca.crt"), "rubbish").unwrap();
        assert!(matches!(Pki::open_or_create(dir.path(), &[]), Err(Error::Damaged { what: "certificate", .. })));
    }

    #[test]
    fn a_kubeconfig_names_server_ca_and_user() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            Pki::open_or_create(dir.path(), &[]).unwrap().kubeconfig("https://127.0.0.1:6443", "admin", &["system:masters"]).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["contexts"][0]["name"], config["current-context"]);
        assert!(config["users"][0]["user"]["client-key-data"].as_str().unwrap().starts_with("LS0t"));
    }
}
