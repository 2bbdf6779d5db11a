//! The user's commands without kubectl: a thin client of the API that says what kubectl says.
pub mod apply;
pub mod delete;
pub mod events;
pub mod get;
pub mod logs;
pub mod manifest;
pub mod resources;
pub mod table;

use crate::{cli::ClientOptions, paths};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use knarr_machinery::Status;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use std::path::PathBuf;

pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A connection to one cluster.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    /// Where a command without `-n` looks.
    pub namespace: String,
}

impl Api {
    pub async fn open(options: &ClientOptions) -> anyhow::Result<Self> {
        let file = find_kubeconfig(options.kubeconfig.clone())?;
        let kubeconfig = Kubeconfig::read_from(&file).with_context(|| format!("reading {}", file.display()))?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .with_context(|| file.display().to_string())?;
        let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: kube::Client::try_from(config)?, namespace })
    }

    /// Sends a request; an answer that is not a success becomes the Status that it carries.
    pub async fn send(&self, method: Method, path: &str, content_type: Option<&str>, accept: &str, body: Vec<u8>) -> anyhow::Result<Bytes> {
        let answer = self.stream(method, path, content_type, accept, body).await?;
        Ok(answer.collect().await.context("the answer broke off")?.to_bytes())
    }

    /// The same, for answers that go on.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        accept: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<kube::client::Body> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(kube::client::Body::from(body))?;
        let answer = self.client.send(request).await.context("the API server cannot be reached")?;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let said = body.collect().await.context("the answer broke off")?.to_bytes();
        Err(Status::from_json(head.status.as_u16(), &said).into())
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(Method::GET, path, None, "application/json", vec![]).await?)?)
    }
}

/// The error as kubectl words it: `Error from server (NotFound): pods "a" not found`.
pub fn in_kubectls_words(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Status>() {
        Ok(status) => {
            let reason = serde_json::to_value(status.reason).ok().and_then(|r| r.as_str().map(String::from)).filter(|r| !r.is_empty());
            match reason {
                Some(reason) => anyhow::anyhow!("Error from server ({reason}): {}", status.message),
                None => anyhow::anyhow!("Error from server: {}", status.message),
            }
        }
        Err(other) => other,
    }
}

pub fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code == 404)
}

/// The flag, $KUBECONFIG, that of `knarr up` in its usual place, ~/.kube/config.
pub fn find_kubeconfig(said: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(file) = said.or_else(|| std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()).map(PathBuf::from)) {
        return Ok(file);
    }
    let usual = [paths::data_dir(None).ok().map(|data| paths::kubeconfig(&data)), paths::home().map(|home| home.join(".kube/config"))];
    match usual.iter().flatten().find(|file| file.exists()) {
        Some(file) => Ok(file.clone()),
        None => bail!("no cluster is known here: start one with `knarr up`, or name one with --kubeconfig or $KUBECONFIG"),
    }
}
