//! The registry on a real socket, spoken to by oci-client, as agents do.
use super::*;
use crate::{Images, PullPolicy, push};

const ADD: &str = r#"(module (func (export "_start")))"#;

async fn started() -> (tempfile::TempDir, String) {
    // Two providers of cryptography may be linked; reqwest asks for the process's choice.
    drop(rustls::crypto::ring::default_provider().install_default());
    let folder = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let router = router(folder.path()).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (folder, host)
}

#[tokio::test]
async fn gives_back_what_was_pushed() {
    let (folder, host) = started().await;
    let wasm = wat::parse_str(ADD).unwrap();
    let name = format!("{host}/team/web:v1");
    let digest = push(wasm.clone(), &name, jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    let images = Images::open(folder.path().join("node")).unwrap();
    let pulled = images.ensure(&name, PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!((pulled.digest.as_str(), pulled.fresh, std::fs::read(&pulled.path).unwrap()), (digest.as_str(), true, wasm));
    assert!(!images.ensure(&name, PullPolicy::IfNotPresent).await.unwrap().fresh);
    let by_digest = images.ensure(&format!("{host}/team/web@{digest}"), PullPolicy::Always).await.unwrap();
    assert_eq!(by_digest.wasm_digest, pulled.wasm_digest);
    assert_eq!(images.list().unwrap().len(), 2);
}

#[tokio::test]
async fn says_precisely_why_not() {
    let (folder, host) = started().await;
    let images = Images::open(folder.path().join("node")).unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (name, policy, reason, words) in [
        (format!("{host}/web:none"), PullPolicy::IfNotPresent, "ErrImagePull", "not found"),
        (format!("{closed}/web:v1"), PullPolicy::Always, "ErrImagePull", "Connection refused"),
        ("UPPER/case".into(), PullPolicy::Always, "InvalidImageName", "couldn't parse image name"),
        (format!("{host}/web:none"), PullPolicy::Never, "ErrImageNeverPull", "is not present with pull policy of Never"),
    ] {
        let error = images.ensure(&name, policy).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn imports_without_any_registry() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::open(folder.path()).unwrap();
    images.import(&wat::parse_str(ADD).unwrap(), "web:v1").await.unwrap();
    assert_eq!(images.ensure("web:v1", PullPolicy::Never).await.unwrap().name, "docker.io/library/web:v1");
    let library = wat::parse_str("(module (func (export \"add\")))").unwrap();
    assert!(images.import(&library, "lib:v1").await.unwrap_err().to_string().contains("neither wasi:cli/run"));
}
