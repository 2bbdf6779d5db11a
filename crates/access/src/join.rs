//! The token with which a node joins: it says which cluster it is for, and carries the secret that lets the node in.
//!
//! `knarr1.<SHA-256 of the CA, hex>.<secret>`. The hash lets the agent trust the right CA before it has seen it, so that the secret is
//! never sent to a stranger. The agent then names itself in its bearer: `<secret>:<node name>`.
use crate::Error;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};
use std::{
    fmt, io,
    net::{TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

const FORMAT: &str = "knarr1";
/// Of connecting and of each read: the handshake is three round trips.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub ca_sha256: [u8; 32],
    pub(crate) secret: String,
}

impl JoinToken {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.trim().split('.');
        let (Some(FORMAT), Some(hash), Some(secret), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Error::JoinToken);
        };
        let ca_sha256 = unhex(hash).ok_or(Error::JoinToken)?;
        if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::JoinToken);
        }
        Ok(Self { ca_sha256, secret: secret.into() })
    }

    /// What the agent of a node sends as its bearer token.
    pub fn bearer(&self, node: &str) -> String {
        format!("{}:{node}", self.secret)
    }

    /// Asks the server for its CA, as PEM, and takes it only if it is the token's. Blocks: for a blocking thread.
    pub fn fetch_ca(&self, host: &str, port: u16) -> Result<String, Error> {
        let server = format!("{host}:{port}");
        let failed = |source| Error::Connect { server: server.clone(), source };
        let address = (host, port).to_socket_addrs().map_err(failed)?.next().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pinned = Arc::new(Pinned { ca_sha256: self.ca_sha256, provider: Arc::clone(&provider) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut tls = ClientConnection::new(Arc::new(config), name)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)
                .map_err(|error| if is_other_cluster(&error) { Error::OtherCluster { server: server.clone() } } else { failed(error) })?;
        }
        let chain = tls.peer_certificates().unwrap_or_default();
        let ca = chain.iter().find(|ca| is(ca, &self.ca_sha256)).ok_or_else(|| Error::OtherCluster { server: server.clone() })?;
        Ok(pem(ca))
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT}.{}.{}", hex(&self.ca_sha256), self.secret)
    }
}

fn is(certificate: &[u8], sha256: &[u8; 32]) -> bool {
    Sha256::digest(certificate).as_slice() == sha256
}

fn is_other_cluster(error: &io::Error) -> bool {
    matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(rustls::Error::InvalidCertificate(_)))
}

/// Trusts whoever shows the CA of the token and a certificate that it signed. The name does not matter yet: the agent checks it with the CA
/// in hand at every later connection.
#[derive(Debug)]
struct Pinned {
    ca_sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let ca = chain.iter().find(|ca| is(ca, &self.ca_sha256)).ok_or_else(unknown)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let leaf = rustls::server::ParsedCertificate::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(&leaf, &roots, &[], now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn pem(der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pki;
    use std::net::TcpListener;

    #[test]
    fn a_token_survives_being_written_down() {
        let token = JoinToken { ca_sha256: [0xab; 32], secret: "s3cret".into() };
        assert_eq!(JoinToken::parse(&format!(" {token}\n")).unwrap(), token);
        let zeros = "0".repeat(64);
        for bad in [
            "",
            "knarr1",
            "knarr2.00.x",
            &format!("knarr1.{zeros}."),
            &format!("knarr1.{zeros}.a:b"),
            &format!("knarr1.{zeros}.a.b"),
            &format!("knarr1.é{}.a", "0".repeat(62)),
        ] {
            assert!(JoinToken::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn takes_the_ca_of_its_own_cluster_only() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ours, other) = (Pki::open_or_create(here.path(), &[]).unwrap(), Pki::open_or_create(there.path(), &[]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(ours.server_config().unwrap());
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut socket, _) = listener.accept().unwrap();
                let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                while tls.is_handshaking() && tls.complete_io(&mut socket).is_ok() {}
            }
        });
        assert_eq!(ours.join_token().fetch_ca("127.0.0.1", port).unwrap().replace("\r\n", "\n"), ours.ca_pem().replace("\r\n", "\n"));
        assert!(matches!(other.join_token().fetch_ca("127.0.0.1", port), Err(Error::OtherCluster { .. })));
        server.join().unwrap();
    }
}
