//! Other people's registries, through oci-client: pull an artifact into the content store, push a Wasm file as one.
use crate::{
    Error, PullError, World,
    blobs::{Blobs, WriteError},
    describe,
    description::digest_of,
    layout::{self, Descriptor, Layout},
};
use oci_client::{
    Client, Reference, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciErrorCode,
    manifest::OciDescriptor,
    secrets::RegistryAuth,
};
use serde_json::json;
use std::{io::Read as _, path::Path, time::Duration};

/// The largest Wasm file that a node takes. Python and JavaScript guests have 20 MB; ten times that leaves room.
pub(crate) const MAX_WASM_BYTES: u64 = 256 << 20;
/// OCI's own bound on manifests.
pub(crate) const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// A registry that is silent for so long is not there.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a pull brought: the manifest's digest, which names the image, and its Wasm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fetched {
    pub manifest_digest: String,
    pub wasm_digest: String,
    pub size_bytes: u64,
}

/// Reads a reference as every container tool does: no registry means Docker Hub, no tag means `latest`.
pub(crate) fn parse(name: &str) -> Result<Reference, PullError> {
    let invalid = |why: String| PullError::InvalidName { name: name.into(), why: format!("invalid reference format: {why}") };
    let reference: Reference = name.parse().map_err(|e| invalid(format!("{e}")))?;
    if reference.repository().bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(invalid(format!("repository name ({}) must be lowercase", reference.repository())));
    }
    Ok(reference)
}

/// Registries on this machine are spoken to without TLS, as Docker and containerd do.
fn protocol(registry: &str) -> ClientProtocol {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host).trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if loopback { ClientProtocol::Http } else { ClientProtocol::Https }
}

fn client(reference: &Reference) -> Result<Client, String> {
    let config = ClientConfig {
        protocol: protocol(reference.resolve_registry()),
        read_timeout: Some(READ_TIMEOUT),
        connect_timeout: Some(CONNECT_TIMEOUT),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|e| e.to_string())
}

/// Brings an artifact's Wasm into the content store. Whatever arrives is checked against the digest that named it.
pub(crate) async fn pull(reference: &Reference, blobs: &Blobs) -> Result<Fetched, PullError> {
    Pull { name: reference.whole(), reference, client: client(reference).map_err(|why| registry_error(reference, why))?, blobs }.run().await
}

fn registry_error(reference: &Reference, why: impl std::fmt::Display) -> PullError {
    PullError::Registry { name: reference.whole(), why: why.to_string() }
}

struct Pull<'a> {
    name: String,
    reference: &'a Reference,
    client: Client,
    blobs: &'a Blobs,
}

impl Pull<'_> {
    async fn run(&self) -> Result<Fetched, PullError> {
        let (manifest, manifest_digest) = self.manifest(self.reference).await?;
        let mut layout = layout::choose(&manifest).map_err(|found| self.not_wasm(found))?;
        if let Layout::Index(entry) = layout {
            let (manifest, _) = self.manifest(&self.reference.clone_with_digest(entry.digest)).await?;
            layout = layout::choose(&manifest).map_err(|found| self.not_wasm(found))?;
        }
        let (wasm_digest, size_bytes) = match layout {
            Layout::Wasm(layer) => (self.blob(&layer).await?, layer.size),
            Layout::Container { config, layers } => self.wasm_in_container(&config, &layers).await?,
            Layout::Index(_) => return Err(self.not_wasm("an index of indexes".into())),
        };
        Ok(Fetched { manifest_digest, wasm_digest, size_bytes })
    }

    async fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, String), PullError> {
        let answer = self.client.pull_manifest_raw(reference, &RegistryAuth::Anonymous, layout::ACCEPTED).await;
        let (bytes, digest) = answer.map_err(|e| self.refused(&e))?;
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(registry_error(self.reference, format!("its manifest has more than {MAX_MANIFEST_BYTES} bytes")));
        }
        let actual = digest_of(&bytes);
        if let Some(wanted) = reference.digest().filter(|wanted| *wanted != actual) {
            return Err(registry_error(self.reference, format!("the registry answered {wanted} with content of digest {actual}")));
        }
        Ok((bytes.to_vec(), if digest.is_empty() { actual } else { digest }))
    }

    /// A layer as a file here. One that is here already is not asked for again.
    async fn blob(&self, layer: &Descriptor) -> Result<String, PullError> {
        if layer.size > MAX_WASM_BYTES {
            return Err(PullError::TooLarge { name: self.name.clone(), size_bytes: layer.size, max_bytes: MAX_WASM_BYTES });
        }
        if self.blobs.find(&layer.digest).is_some() {
            return Ok(layer.digest.clone());
        }
        let size = i64::try_from(layer.size).expect("below the bound above");
        let descriptor =
            OciDescriptor { digest: layer.digest.clone(), media_type: layer.media_type.clone(), size, ..OciDescriptor::default() };
        let stream = self.client.pull_blob_stream(self.reference, &descriptor).await.map_err(|e| self.refused(&e))?;
        match self.blobs.write(stream, Some(&layer.digest), layer.size).await {
            Ok((digest, _)) => Ok(digest),
            Err(WriteError::File(e)) => Err(PullError::Storage { name: self.name.clone(), why: e.to_string() }),
            Err(e) => Err(registry_error(self.reference, e)),
        }
    }

    /// The `.wasm` that a container image's entrypoint names, out of the last layer that has it.
    async fn wasm_in_container(&self, config: &Descriptor, layers: &[Descriptor]) -> Result<(String, u64), PullError> {
        let config = self.blob(config).await?;
        let config = self.read(&config).await?;
        let program = layout::entrypoint(&config).map_err(|found| self.not_wasm(found))?;
        for layer in layers.iter().rev() {
            let digest = self.blob(layer).await?;
            let path = self.blobs.find(&digest).expect("just written");
            let (wanted, gzip) = (program.clone(), layout::is_gzip(layer));
            let found =
                tokio::task::spawn_blocking(move || file_in_layer(&path, gzip, &wanted)).await.expect("reading a tar does not panic");
            if let Some(bytes) = found.map_err(|e| self.not_wasm(format!("its layer {digest} cannot be read: {e}")))? {
                let stored = self.blobs.put(&bytes).await;
                let digest = stored.map_err(|e| PullError::Storage { name: self.name.clone(), why: e.to_string() })?;
                return Ok((digest, bytes.len() as u64));
            }
        }
        Err(self.not_wasm(format!("its entrypoint {program:?} is in none of its layers")))
    }

    async fn read(&self, digest: &str) -> Result<Vec<u8>, PullError> {
        let path = self.blobs.find(digest).expect("just written");
        tokio::fs::read(path).await.map_err(|e| PullError::Storage { name: self.name.clone(), why: e.to_string() })
    }

    fn not_wasm(&self, found: String) -> PullError {
        PullError::NotWasm { name: self.name.clone(), found }
    }

    fn refused(&self, error: &oci_client::errors::OciDistributionError) -> PullError {
        use oci_client::errors::OciDistributionError as E;
        let why = match error {
            E::ImageManifestNotFoundError(_) => "not found".into(),
            E::RegistryError { envelope, .. } if envelope.errors.iter().any(|e| is_unknown(&e.code)) => "not found".into(),
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => format!("the registry asks for credentials: {error}"),
            // reqwest keeps the reason ("connection refused") two causes down.
            E::RequestError(e) => causes(e),
            other => other.to_string(),
        };
        registry_error(self.reference, why)
    }
}

fn is_unknown(code: &OciErrorCode) -> bool {
    matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

fn file_in_layer(layer: &Path, gzip: bool, wanted: &str) -> std::io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(layer)?;
    let unpacked: Box<dyn std::io::Read> = if gzip { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    for entry in tar::Archive::new(unpacked).entries()? {
        let mut entry = entry?;
        let is_wanted = entry.header().entry_type().is_file() && entry.path()?.to_string_lossy().trim_start_matches(['.', '/']) == wanted;
        if is_wanted {
            let mut bytes = Vec::new();
            entry.by_ref().take(MAX_WASM_BYTES + 1).read_to_end(&mut bytes)?;
            let too_large = bytes.len() as u64 > MAX_WASM_BYTES;
            return if too_large {
                Err(std::io::Error::other(format!("{wanted} has more than {MAX_WASM_BYTES} bytes")))
            } else {
                Ok(Some(bytes))
            };
        }
    }
    Ok(None)
}

/// Fetches an artifact's Wasm, as `knarr pull` and `knarr inspect REF` do.
pub async fn fetch(name: &str) -> Result<Vec<u8>, Error> {
    let reference = parse(name)?;
    let folder = std::env::temp_dir().join(format!("knarr-pull-{:016x}", rand::random::<u64>()));
    let blobs = Blobs::open(&folder)?;
    let fetched = pull(&reference, &blobs).await;
    let bytes = match &fetched {
        Ok(fetched) => {
            let path = blobs.find(&fetched.wasm_digest).expect("just pulled");
            tokio::fs::read(&path).await.map_err(Error::file(path))
        }
        Err(e) => Err(Error::Pull(e.clone())),
    };
    tokio::fs::remove_dir_all(&folder).await.map_err(Error::file(&folder))?;
    bytes
}

/// Pushes a Wasm file as a CNCF Wasm artifact. Answers the manifest's digest.
pub async fn push(wasm: Vec<u8>, name: &str, created: jiff::Timestamp) -> Result<String, Error> {
    let reference = parse(name)?;
    let description = describe(&wasm)?;
    if description.world == World::Other {
        tracing::warn!(reference = name, "neither a command nor an HTTP component: it can be pushed but not run");
    }
    let refused = |why: String| Error::Push { reference: reference.whole(), why };
    let client = client(&reference).map_err(refused)?;
    let config = artifact_config(&description, created);
    let manifest = artifact_manifest(&description, &config);
    client.auth(&reference, &RegistryAuth::Anonymous, RegistryOperation::Push).await.map_err(|e| refused(causes(&e)))?;
    for (bytes, digest) in [(wasm, description.digest.clone()), (config.clone(), digest_of(&config))] {
        client.push_blob(&reference, bytes, &digest).await.map_err(|e| refused(causes(&e)))?;
    }
    let kind = http::HeaderValue::from_static(layout::MANIFEST_TYPE);
    let digest = digest_of(&manifest);
    client.push_manifest_raw(&reference, manifest, kind).await.map_err(|e| refused(causes(&e)))?;
    Ok(digest)
}

fn artifact_config(description: &crate::Description, created: jiff::Timestamp) -> Vec<u8> {
    let (os, component) = (description.os(), json!({"exports": description.exports, "imports": description.imports}));
    let mut config = json!({"created": created, "architecture": "wasm", "os": os, "layerDigests": [description.digest]});
    if description.form == crate::Form::Component {
        config["component"] = component;
    }
    config.to_string().into_bytes()
}

fn artifact_manifest(description: &crate::Description, config: &[u8]) -> Vec<u8> {
    json!({
        "schemaVersion": 2, "mediaType": layout::MANIFEST_TYPE,
        "config": {"mediaType": layout::CONFIG_TYPE, "digest": digest_of(config), "size": config.len()},
        "layers": [{"mediaType": layout::LAYER_TYPE, "digest": description.digest, "size": description.size_bytes}],
    })
    .to_string()
    .into_bytes()
}
