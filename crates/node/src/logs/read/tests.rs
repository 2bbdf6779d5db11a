use super::*;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Chunks that a test may leave unread.
const CHUNKS: usize = 64;

fn cri(from: u32, to: u32) -> String {
    (from..to).map(|second| format!("2026-11-21T12:00:{second:02}Z stdout F line {second}\n")).collect()
}

async fn text(folder: &Path, query: Query) -> String {
    let log = open(&folder.join("0.log")).await.unwrap();
    let (out, mut chunks) = mpsc::channel(CHUNKS);
    stream(log, &query, || false, &out).await.unwrap();
    drop(out);
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        all.extend_from_slice(&chunk);
    }
    String::from_utf8(all).unwrap()
}

fn folder(parts: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in parts {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[tokio::test]
async fn shows_the_lines_without_their_heads() {
    let folder = folder(&[("0.log", cri(0, 2))]);
    assert_eq!(text(folder.path(), Query::default()).await, "line 0\nline 1\n");
    let stamped = text(folder.path(), Query { timestamps: true, ..Query::default() }).await;
    assert_eq!(stamped, "2026-11-21T12:00:00Z line 0\n2026-11-21T12:00:01Z line 1\n");
}

#[tokio::test]
async fn puts_partial_lines_together() {
    let parts = "2026-11-21T12:00:00Z stdout P half \n2026-11-21T12:00:00Z stdout F whole\n";
    let folder = folder(&[("0.log", parts.into())]);
    assert_eq!(text(folder.path(), Query { timestamps: true, ..Query::default() }).await, "2026-11-21T12:00:00Z half whole\n");
}

#[tokio::test]
async fn shows_only_the_last_lines() {
    let folder = folder(&[("0.log.1", cri(0, 3)), ("0.log", cri(3, 5))]);
    for (tail, said) in [
        (0, ""),
        (1, "line 4\n"),
        (2, "line 3\nline 4\n"),
        (3, "line 2\nline 3\nline 4\n"),
        (9, "line 0\nline 1\nline 2\nline 3\nline 4\n"),
    ] {
        assert_eq!(text(folder.path(), Query { tail_lines: Some(tail), ..Query::default() }).await, said, "tail {tail}");
    }
}

#[tokio::test]
async fn finds_the_last_lines_of_a_long_log() {
    let long: String = (0..20_000).map(|n| format!("2026-11-21T12:00:00Z stdout F {n:0>40}\n")).collect();
    let folder = folder(&[("0.log", long)]);
    let said = text(folder.path(), Query { tail_lines: Some(5000), ..Query::default() }).await;
    assert_eq!((said.lines().count(), said.lines().next().unwrap()), (5000, format!("{:0>40}", 15_000).as_str()));
}

#[tokio::test]
async fn shows_only_what_is_new_enough_and_not_too_much() {
    let folder = folder(&[("0.log", cri(0, 5))]);
    let since = Some("2026-11-21T12:00:03Z".parse().unwrap());
    assert_eq!(text(folder.path(), Query { since, ..Query::default() }).await, "line 3\nline 4\n");
    assert_eq!(text(folder.path(), Query { limit_bytes: Some(10), ..Query::default() }).await, "line 0\nlin");
}

#[tokio::test]
async fn an_end_without_a_newline_waits_for_the_rest_of_its_line() {
    let folder = folder(&[("0.log", format!("{}2026-11-21T12:00:09Z stdout F unfini", cri(0, 1)))]);
    assert_eq!(text(folder.path(), Query::default()).await, "line 0\n");
}

#[tokio::test]
async fn a_log_that_is_not_there_is_empty() {
    assert_eq!(text(folder(&[]).path(), Query::default()).await, "");
}

#[tokio::test(start_paused = true)]
async fn follows_through_a_rotation_until_the_container_has_ended() {
    let folder = folder(&[("0.log", cri(0, 1))]);
    let path = folder.path().join("0.log");
    let runs = Arc::new(AtomicBool::new(true));
    let (out, mut chunks) = mpsc::channel(CHUNKS);
    let log = open(&path).await.unwrap();
    let is_running = Arc::clone(&runs);
    let query = Query { follow: true, ..Query::default() };
    let following = tokio::spawn(async move { stream(log, &query, || is_running.load(Ordering::SeqCst), &out).await });
    assert_eq!(chunks.recv().await.unwrap(), "line 0\n");
    std::fs::write(&path, cri(0, 2)).unwrap();
    assert_eq!(chunks.recv().await.unwrap(), "line 1\n");
    std::fs::rename(&path, folder.path().join("0.log.1")).unwrap();
    std::fs::write(&path, cri(2, 3)).unwrap();
    assert_eq!(chunks.recv().await.unwrap(), "line 2\n");
    std::fs::write(&path, cri(2, 4)).unwrap();
    runs.store(false, Ordering::SeqCst);
    assert_eq!(chunks.recv().await.unwrap(), "line 3\n");
    following.await.unwrap().unwrap();
    assert_eq!(chunks.recv().await, None);
}
