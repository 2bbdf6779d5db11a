//! Content by digest on a disk. What is there is whole: files are written aside, checked, synced and renamed.
use crate::Error;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// A folder of blobs named by their SHA-256.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    folder: PathBuf,
}

/// Why a stream of bytes did not become a blob.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("more than {max_bytes} bytes")]
    TooLarge { max_bytes: u64 },
    #[error("the content has digest {actual}, not {expected}")]
    WrongDigest { expected: String, actual: String },
    #[error("{0}")]
    Source(String),
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl Blobs {
    pub(crate) fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        let all = folder.join("sha256");
        std::fs::create_dir_all(&all).map_err(Error::file(&all))?;
        Ok(Self { folder })
    }

    /// Where a blob lies, or would. None for anything but a well-formed `sha256:<64 hex>`: no path is made of a stranger's words.
    pub(crate) fn path(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let well_formed = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        well_formed.then(|| self.folder.join("sha256").join(hex))
    }

    /// The blob's file, if it is here.
    pub(crate) fn find(&self, digest: &str) -> Option<PathBuf> {
        self.path(digest).filter(|path| path.is_file())
    }

    /// Reads a stream into a blob: stops past `max_bytes`, and keeps nothing whose digest is not the expected one.
    pub(crate) async fn write<S, E>(&self, mut source: S, expected: Option<&str>, max_bytes: u64) -> Result<(String, u64), WriteError>
    where
        S: Stream<Item = Result<bytes::Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let aside = self.folder.join(format!("incoming-{:016x}", rand::random::<u64>()));
        let written = self.write_aside(&aside, &mut source, expected, max_bytes).await;
        if written.is_err() {
            // The write's own error is the one to tell; a left-over file is harmless and named so.
            drop(tokio::fs::remove_file(&aside).await);
        }
        written
    }

    async fn write_aside<S, E>(
        &self,
        aside: &Path,
        source: &mut S,
        expected: Option<&str>,
        max_bytes: u64,
    ) -> Result<(String, u64), WriteError>
    where
        S: Stream<Item = Result<bytes::Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut file = tokio::fs::File::create_new(aside).await?;
        let (mut hash, mut size_bytes) = (Sha256::new(), 0_u64);
        while let Some(chunk) = source.next().await {
            let chunk = chunk.map_err(|e| WriteError::Source(e.to_string()))?;
            size_bytes += chunk.len() as u64;
            if size_bytes > max_bytes {
                return Err(WriteError::TooLarge { max_bytes });
            }
            hash.update(&chunk);
            file.write_all(&chunk).await?;
        }
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let actual = format!("sha256:{hex}");
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(WriteError::WrongDigest { expected: expected.into(), actual });
        }
        file.sync_all().await?;
        drop(file);
        let path = self.path(&actual).expect("a digest made here is well-formed");
        tokio::fs::rename(aside, path).await?;
        Ok((actual, size_bytes))
    }

    /// Writes bytes that are already in memory.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Result<String, WriteError> {
        let whole = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes::Bytes::copy_from_slice(bytes))]);
        self.write(whole, None, u64::MAX).await.map(|(digest, _)| digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(bytes: &'static [u8], expected: Option<&str>, max_bytes: u64) -> (String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let source = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(bytes))]);
        let said = match blobs.write(source, expected, max_bytes).await {
            Ok((digest, size)) => format!("{} {size}", &digest[..14]),
            Err(e) => e.to_string().chars().take(40).collect(),
        };
        let files =
            std::fs::read_dir(folder.path().join("sha256")).unwrap().count() + std::fs::read_dir(folder.path()).unwrap().count() - 1;
        (said, files)
    }

    #[tokio::test]
    async fn keeps_only_what_is_whole_and_right() {
        assert_eq!(written(b"abc", None, 3).await, ("sha256:ba7816b 3".into(), 1));
        assert_eq!(written(b"abcd", None, 3).await, ("more than 3 bytes".into(), 0));
        assert_eq!(written(b"abc", Some("sha256:00"), 3).await, ("the content has digest sha256:ba7816bf8f".into(), 0));
    }

    #[test]
    fn makes_no_path_of_a_strangers_words() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        for digest in [
            "sha256:../../etc/passwd",
            "sha512:00",
            "sha256:",
            &format!("sha256:{}", "G".repeat(64)),
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert_eq!(blobs.path(digest), None, "{digest}");
        }
    }
}
