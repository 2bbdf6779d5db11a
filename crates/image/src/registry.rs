//! The embedded registry: OCI distribution over a folder, so that a machine without any other registry can push and pull.
//! Anonymous; it listens on loopback unless told otherwise.
mod route;
mod uploads;

use crate::{Error, blobs::Blobs, description::digest_of, remote::MAX_MANIFEST_BYTES};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use route::Route;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use uploads::Uploads;

/// A refusal, in the words of the distribution specification.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
    fn broken(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "the registry's folder cannot be used");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry's storage failed")
    }
    fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code, "message": self.message}]}).to_string();
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// What a tag, or a digest within a repository, points at.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pointer {
    digest: String,
    media_type: String,
}

struct Registry {
    blobs: Blobs,
    uploads: Uploads,
    repositories: PathBuf,
}

/// The registry over a folder, to be served at the root of a listener.
pub fn router(folder: &Path) -> Result<Router, Error> {
    let repositories = folder.join("repositories");
    std::fs::create_dir_all(&repositories).map_err(Error::file(&repositories))?;
    let registry = Registry { blobs: Blobs::open(folder.join("blobs"))?, uploads: Uploads::open(folder.join("uploads"))?, repositories };
    Ok(Router::new().fallback(serve).with_state(Arc::new(registry)))
}

async fn serve(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    registry.answer(request).await.unwrap_or_else(Refusal::into_response)
}

impl Registry {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let route = Route::parse(request.uri().path())?;
        let method = request.method().clone();
        match (route, method) {
            (Route::Root, Method::GET | Method::HEAD) => Ok(json_answer(&json!({}))),
            (Route::Catalog, Method::GET) => self.catalog(),
            (Route::Tags(name), Method::GET) => self.tags(&name),
            (Route::Blob { digest, .. }, Method::GET | Method::HEAD) => self.blob(&digest, request.method() == Method::HEAD).await,
            (Route::Uploads(name), Method::POST) => self.begin(&name, request).await,
            (Route::Upload { name, id }, Method::PATCH) => self.append(&name, &id, request).await,
            (Route::Upload { name, id }, Method::PUT) => self.finish(&name, &id, request).await,
            (Route::Upload { name, id }, Method::GET) => Ok(accepted(&name, &id, self.uploads.size(&id).await?)),
            (Route::Upload { id, .. }, Method::DELETE) => self.uploads.cancel(&id).await.map(|()| StatusCode::NO_CONTENT.into_response()),
            (Route::Manifest { name, reference }, Method::GET | Method::HEAD) => {
                self.manifest(&name, &reference, request.method() == Method::HEAD).await
            }
            (Route::Manifest { name, reference }, Method::PUT) => self.put_manifest(&name, &reference, request).await,
            (Route::Manifest { name, reference }, Method::DELETE) => self.delete_manifest(&name, &reference),
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")),
        }
    }

    async fn blob(&self, digest: &str, head: bool) -> Result<Response, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("blob unknown to registry: {digest}"));
        let path = self.blobs.find(digest).ok_or_else(unknown)?;
        let file = tokio::fs::File::open(path).await.map_err(Refusal::broken)?;
        let size = file.metadata().await.map_err(Refusal::broken)?.len();
        let headers = [(header::CONTENT_LENGTH, size.to_string()), (header::CONTENT_TYPE, "application/octet-stream".into())];
        let body = if head { Body::empty() } else { Body::from_stream(uploads::chunks(file)) };
        Ok((headers, [("docker-content-digest", digest.to_owned())], body).into_response())
    }

    /// `POST ?digest=` with the whole blob, `?mount=` from another repository (all share one folder), or the start of an upload.
    async fn begin(&self, name: &str, request: Request) -> Result<Response, Refusal> {
        if let Some(digest) = query(&request, "mount").filter(|digest| self.blobs.find(digest).is_some()) {
            return Ok(created(name, "blobs", &digest));
        }
        let id = self.uploads.begin().await?;
        if query(&request, "digest").is_some() {
            return self.finish(name, &id, request).await;
        }
        Ok(accepted(name, &id, 0))
    }

    async fn append(&self, name: &str, id: &str, request: Request) -> Result<Response, Refusal> {
        let starts_at = request.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok()?.split_once('-')?.0.parse().ok());
        let size = self.uploads.append(id, starts_at, request.into_body()).await?;
        Ok(accepted(name, id, size))
    }

    async fn finish(&self, name: &str, id: &str, request: Request) -> Result<Response, Refusal> {
        let digest = query(&request, "digest")
            .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the digest parameter is missing"))?;
        self.uploads.append(id, None, request.into_body()).await?;
        self.uploads.finish(id, &digest, &self.blobs).await?;
        Ok(created(name, "blobs", &digest))
    }

    async fn put_manifest(&self, name: &str, reference: &str, request: Request) -> Result<Response, Refusal> {
        let media_type =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or(crate::layout::MANIFEST_TYPE).to_owned();
        let limited = http_body_util::Limited::new(request.into_body(), MAX_MANIFEST_BYTES);
        let too_large = |e| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", format!("the manifest cannot be taken: {e}"));
        let bytes = limited.collect().await.map_err(too_large)?.to_bytes();
        self.refuse_missing_parts(&bytes)?;
        let digest = digest_of(&bytes);
        if reference.starts_with("sha256:") && reference != digest {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", format!("the manifest's digest is {digest}")));
        }
        self.blobs.put(&bytes).await.map_err(Refusal::broken)?;
        let pointer = serde_json::to_vec(&Pointer { digest: digest.clone(), media_type }).expect("plain data");
        for file in [self.pointer_file(name, &digest), self.pointer_file(name, reference)] {
            std::fs::create_dir_all(file.parent().expect("below a folder")).map_err(Refusal::broken)?;
            std::fs::write(file, &pointer).map_err(Refusal::broken)?;
        }
        Ok(created(name, "manifests", &digest))
    }

    /// A manifest may only name content that is here.
    fn refuse_missing_parts(&self, manifest: &[u8]) -> Result<(), Refusal> {
        let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message);
        let manifest: serde_json::Value = serde_json::from_slice(manifest).map_err(|e| invalid(format!("not JSON: {e}")))?;
        let lists = ["layers", "manifests"].into_iter().filter_map(|list| manifest[list].as_array()).flatten();
        for part in lists.chain(manifest.get("config")) {
            let digest = part["digest"].as_str().ok_or_else(|| invalid("a descriptor has no digest".into()))?;
            if self.blobs.find(digest).is_none() {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", format!("blob unknown to registry: {digest}")));
            }
        }
        Ok(())
    }

    async fn manifest(&self, name: &str, reference: &str, head: bool) -> Result<Response, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("manifest unknown: {name}:{reference}"));
        let pointer = std::fs::read(self.pointer_file(name, reference)).map_err(|_| unknown())?;
        let pointer: Pointer = serde_json::from_slice(&pointer).map_err(Refusal::broken)?;
        let path = self.blobs.find(&pointer.digest).ok_or_else(unknown)?;
        let bytes = tokio::fs::read(path).await.map_err(Refusal::broken)?;
        let headers = [(header::CONTENT_TYPE, pointer.media_type), (header::CONTENT_LENGTH, bytes.len().to_string())];
        let body = if head { Body::empty() } else { Body::from(bytes) };
        Ok((headers, [("docker-content-digest", pointer.digest)], body).into_response())
    }

    fn delete_manifest(&self, name: &str, reference: &str) -> Result<Response, Refusal> {
        let unknown = |_| Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("manifest unknown: {name}:{reference}"));
        std::fs::remove_file(self.pointer_file(name, reference)).map_err(unknown)?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    fn tags(&self, name: &str) -> Result<Response, Refusal> {
        let folder = self.repository(name).join("tags");
        let unknown = |_| Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("repository name not known to registry: {name}"));
        let mut tags: Vec<_> =
            std::fs::read_dir(folder).map_err(unknown)?.flatten().map(|f| f.file_name().to_string_lossy().into_owned()).collect();
        tags.sort();
        Ok(json_answer(&json!({"name": name, "tags": tags})))
    }

    fn catalog(&self) -> Result<Response, Refusal> {
        let mut names: Vec<_> = std::fs::read_dir(&self.repositories)
            .map_err(Refusal::broken)?
            .flatten()
            .map(|folder| folder.file_name().to_string_lossy().replace('+', "/"))
            .collect();
        names.sort();
        Ok(json_answer(&json!({"repositories": names})))
    }

    /// Slashes become `+`, which no repository name may contain: one flat folder, no path of a stranger's making.
    fn repository(&self, name: &str) -> PathBuf {
        self.repositories.join(name.replace('/', "+"))
    }

    fn pointer_file(&self, name: &str, reference: &str) -> PathBuf {
        let (folder, file) = reference.strip_prefix("sha256:").map_or(("tags", reference), |hex| ("manifests", hex));
        self.repository(name).join(folder).join(file)
    }
}

fn query(request: &Request, wanted: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == wanted).map(|(_, value)| value.replace("%3A", ":").replace("%3a", ":")).next()
}

fn json_answer(body: &serde_json::Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json"), (header::HeaderName::from_static("docker-distribution-api-version"), "registry/2.0")],
        body.to_string(),
    )
        .into_response()
}

fn created(name: &str, kind: &str, digest: &str) -> Response {
    let location = format!("/v2/{name}/{kind}/{digest}");
    (StatusCode::CREATED, [(header::LOCATION, location)], [("docker-content-digest", digest.to_owned())]).into_response()
}

fn accepted(name: &str, id: &str, size: u64) -> Response {
    let headers = [(header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}")), (header::RANGE, format!("0-{}", size.saturating_sub(1)))];
    (StatusCode::ACCEPTED, headers, [("docker-upload-uuid", id.to_owned())]).into_response()
}

#[cfg(test)]
mod tests;
