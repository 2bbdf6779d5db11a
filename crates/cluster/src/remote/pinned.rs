//! How a machine that knows only an address and a join token comes to trust a server: the token holds the digest of the cluster's certificate
//! authority. The handshake here takes no one's word: it fetches a certificate of that digest and hands it back. Trust begins with the next
//! connection, which the server can only pass with a certificate that this authority signed.
use super::Error;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::{
    fmt, io,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// A server that has not finished a handshake by then is taken for away.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What joins a machine to a cluster: `knarr1.<SHA-256 of the authority's certificate, hexadecimal>.<secret>`. Has no `Debug`: the secret must
/// not find its way into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub ca_sha256: [u8; 32],
    pub secret: String,
}

impl JoinToken {
    /// What the agent of a node sends as its bearer token: the secret, and which node it is.
    pub fn bearer(&self, node: &str) -> String {
        format!("{}:{node}", self.secret)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("knarr1.")?;
        self.ca_sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ".{}", self.secret)
    }
}

impl FromStr for JoinToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (digest, secret) = text.strip_prefix("knarr1.").and_then(|rest| rest.split_once('.')).ok_or(Error::Token)?;
        if digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) || secret.is_empty() {
            return Err(Error::Token);
        }
        let mut ca_sha256 = [0; 32];
        for (byte, digits) in ca_sha256.iter_mut().zip(digest.as_bytes().chunks(2)) {
            let digits = str::from_utf8(digits).map_err(|_| Error::Token)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| Error::Token)?;
        }
        Ok(Self { ca_sha256, secret: secret.into() })
    }
}

/// The certificate of a server's authority, DER, if it has this SHA-256. The server shows it at the end of its chain.
pub async fn pinned_ca(url: &str, sha256: &[u8; 32]) -> Result<Vec<u8>, Error> {
    let uri: http::Uri = url.parse().map_err(|_| Error::Address(url.into()))?;
    let host = uri.host().ok_or_else(|| Error::Address(url.into()))?.trim_matches(['[', ']']);
    let address = format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Address(url.into()))?;
    let provider = Arc::new(ring::default_provider());
    let pin = Arc::new(Pin { sha256: *sha256, found: OnceLock::new(), provider: Arc::clone(&provider) });
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.expect("ring speaks TLS 1.2 and 1.3").dangerous().with_custom_certificate_verifier(Arc::<Pin>::clone(&pin));
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let handshake = async { connector.connect(name, TcpStream::connect(&address).await?).await };
    let outcome = timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match (outcome, pin.found.get()) {
        (Ok(_), Some(certificate)) => Ok(certificate.clone()),
        (Err(error), _) if error.get_ref().is_none_or(|cause| !cause.is::<rustls::Error>()) => {
            Err(Error::Unreachable { address, source: error })
        }
        _ => Err(Error::OtherCluster { address }),
    }
}

/// Accepts a chain that holds the certificate of this digest, and keeps that.
#[derive(Debug)]
struct Pin {
    sha256: [u8; 32],
    found: OnceLock<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut chain = std::iter::once(end_entity).chain(intermediates);
        let found = chain.find(|certificate| Sha256::digest(certificate.as_ref())[..] == self.sha256);
        let found = found.ok_or(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))?;
        self.found.get_or_init(|| found.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    #[test]
    fn reads_join_tokens() {
        let check = |text: &str, want: bool| assert_eq!(text.parse::<JoinToken>().is_ok(), want, "{text}");
        let digest = "0123456789abcdef".repeat(4);
        check(&format!("knarr1.{digest}.secret"), true);
        check(&format!("knarr1.{digest}.with.dots"), true);
        check(&format!("knarr1.{digest}."), false);
        check(&format!("knarr1.{digest}"), false);
        check(&format!("knarr2.{digest}.secret"), false);
        check(&format!("knarr1.{}.secret", &digest[1..]), false);
        check(&format!("knarr1.{}+1.secret", &digest[2..]), false);
        check(&format!("knarr1.{}ü.secret", &digest[2..]), false);
        let token: JoinToken = format!("knarr1.{digest}.s").parse().unwrap();
        assert_eq!((token.ca_sha256[0], token.ca_sha256[31], token.secret.as_str()), (0x01, 0xef, "s"));
    }

    /// A server that shows a leaf and its authority, and answers one handshake.
    async fn server() -> (String, Vec<u8>) {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, ca_key)).unwrap();
        let chain = vec![leaf.der().clone(), ca.der().clone()];
        let key = PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // The client hangs up when it does not like what it sees.
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });
        (url, ca.der().to_vec())
    }

    #[tokio::test]
    async fn fetches_the_authority_that_the_token_names() {
        let (url, ca) = server().await;
        assert_eq!(pinned_ca(&url, &Sha256::digest(&ca).into()).await.unwrap(), ca);
    }

    #[tokio::test]
    async fn refuses_a_server_of_another_cluster() {
        let (url, _) = server().await;
        assert!(matches!(pinned_ca(&url, &[7; 32]).await, Err(Error::OtherCluster { .. })));
    }

    #[tokio::test]
    async fn tells_a_server_that_is_not_there_from_a_wrong_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(pinned_ca(&url, &[7; 32]).await, Err(Error::Unreachable { .. })));
        assert!(matches!(pinned_ca("not an address", &[7; 32]).await, Err(Error::Address(_))));
    }
}
