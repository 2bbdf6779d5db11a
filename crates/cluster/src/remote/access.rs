//! How a client is made: of a kubeconfig, or of an address, the cluster's authority and a token.
use super::Error;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use std::{path::PathBuf, time::Duration};

/// A server that does not answer a connection so long is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What one needs to speak to a server.
#[derive(Clone)]
pub enum Access {
    Kubeconfig(PathBuf),
    Token {
        url: String,
        ca_der: Vec<u8>,
        token: String,
    },
    /// A client certificate; both PEM.
    Certificate {
        url: String,
        ca_der: Vec<u8>,
        certificate_pem: String,
        key_pem: String,
    },
}

impl Access {
    /// A client with this access. Reads files, speaks to nobody yet. Needs a tokio runtime to be running.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        let mut config = match self {
            Self::Kubeconfig(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| Error::Kubeconfig(error.into()))?;
                let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
                config.map_err(|error| Error::Kubeconfig(error.into()))?
            }
            Self::Token { url, ca_der, token } => with(url, ca_der, &serde_json::json!({"token": token}))?,
            Self::Certificate { url, ca_der, certificate_pem, key_pem } => {
                let (certificate, key) = (base64(certificate_pem), base64(key_pem));
                with(url, ca_der, &serde_json::json!({"client-certificate-data": certificate, "client-key-data": key}))?
            }
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Feeds and loops retry with their own patience; a write must not be repeated behind their backs.
        config.default_retry = false;
        kube::Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))
    }
}

fn with(url: &str, ca_der: &[u8], who: &serde_json::Value) -> Result<kube::Config, Error> {
    let mut config = kube::Config::new(url.parse().map_err(|_| Error::Address(url.into()))?);
    config.root_cert = Some(vec![ca_der.to_vec()]);
    config.auth_info = serde_json::from_value::<AuthInfo>(who.clone()).map_err(|error| Error::Kubeconfig(error.into()))?;
    Ok(config)
}

/// As a kubeconfig holds its certificates.
fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}
