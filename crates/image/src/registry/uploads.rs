//! Uploads under way: a file each, appended to until it is named by its digest.
use super::Refusal;
use crate::{
    Error,
    blobs::{Blobs, WriteError},
    remote::MAX_WASM_BYTES,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use std::path::PathBuf;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

/// Read from disk at a time.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) struct Uploads {
    folder: PathBuf,
}

impl Uploads {
    /// What a stopped process left half-done is thrown away: its client starts again.
    pub(super) fn open(folder: PathBuf) -> Result<Self, Error> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        Ok(Self { folder })
    }

    pub(super) async fn begin(&self) -> Result<String, Refusal> {
        let id = format!("{:032x}", rand::random::<u128>());
        File::create_new(self.folder.join(&id)).await.map_err(Refusal::broken)?;
        Ok(id)
    }

    fn file(&self, id: &str) -> Result<PathBuf, Refusal> {
        let path = self.folder.join(id);
        let known = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && path.is_file();
        if known { Ok(path) } else { Err(Refusal::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")) }
    }

    pub(super) async fn size(&self, id: &str) -> Result<u64, Refusal> {
        Ok(tokio::fs::metadata(self.file(id)?).await.map_err(Refusal::broken)?.len())
    }

    /// Adds a body to an upload; a chunk that says where it starts must start at the end. Answers the size so far.
    pub(super) async fn append(&self, id: &str, starts_at: Option<u64>, body: Body) -> Result<u64, Refusal> {
        let path = self.file(id)?;
        let mut size = self.size(id).await?;
        if starts_at.is_some_and(|start| start != size) {
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", format!("the next byte is {size}")));
        }
        let mut file = File::options().append(true).open(path).await.map_err(Refusal::broken)?;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", e.to_string()))?;
            size += chunk.len() as u64;
            if size > MAX_WASM_BYTES {
                self.cancel(id).await?;
                return Err(Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "SIZE_INVALID",
                    format!("a blob has at most {MAX_WASM_BYTES} bytes"),
                ));
            }
            file.write_all(&chunk).await.map_err(Refusal::broken)?;
        }
        file.flush().await.map_err(Refusal::broken)?;
        Ok(size)
    }

    /// Turns an upload into a blob, if its digest is the one that its client says.
    pub(super) async fn finish(&self, id: &str, digest: &str, blobs: &Blobs) -> Result<(), Refusal> {
        let path = self.file(id)?;
        let file = File::open(&path).await.map_err(Refusal::broken)?;
        let written = blobs.write(Box::pin(chunks(file)), Some(digest), MAX_WASM_BYTES).await;
        self.cancel(id).await?;
        match written {
            Ok(_) => Ok(()),
            Err(e @ WriteError::WrongDigest { .. }) => Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", e.to_string())),
            Err(e) => Err(Refusal::broken(e)),
        }
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<(), Refusal> {
        tokio::fs::remove_file(self.file(id)?).await.map_err(Refusal::broken)
    }
}

/// A file as a stream.
pub(super) fn chunks(file: File) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (chunk.freeze(), file)))
    })
}
