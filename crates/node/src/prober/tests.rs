use super::*;
use crate::{agent::tests::cluster::Network, probe::Target};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a server that answers each connection with these bytes; gives the outcome and what it was asked.
async fn asked(answer: &'static str) -> (Outcome, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..read]).replace(&port.to_string(), "PORT")
    });
    let headers = vec![("X-Probe".to_owned(), "yes".to_owned())];
    let target = Target::Http { host: "127.0.0.1".into(), port, path: "/healthz?x=1".into(), headers, tls: false };
    (ask(&Network::default(), &target, PATIENCE).await, server.await.unwrap())
}

#[tokio::test]
async fn a_probe_is_a_real_request() {
    let (outcome, request) = asked("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(outcome, Outcome::Success);
    let lines: Vec<String> = request.lines().map(str::to_lowercase).collect();
    assert_eq!(lines[0], "get /healthz?x=1 http/1.1");
    for header in ["host: 127.0.0.1:port", "user-agent: kube-probe/1.37", "x-probe: yes", "connection: close"] {
        assert!(lines.iter().any(|line| line == header), "{header}: {request}");
    }
}

#[tokio::test]
async fn codes_from_200_to_399_are_good() {
    for (answer, is_good) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", false),
    ] {
        let (outcome, _) = asked(answer).await;
        assert_eq!(outcome == Outcome::Success, is_good, "{answer}: {outcome:?}");
    }
    let (bad, _) = asked("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(bad, Outcome::Failure("HTTP probe failed with statuscode: 503".into()));
}

#[tokio::test]
async fn what_is_no_http_or_says_nothing_is_a_failure() {
    for answer in ["", "220 mail.example ESMTP\r\n"] {
        let (outcome, _) = asked(answer).await;
        assert!(matches!(outcome, Outcome::Failure(why) if why.starts_with("Get \"http://127.0.0.1:")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_refused() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = || Target::Tcp { host: "127.0.0.1".into(), port };
    assert_eq!(ask(&Network::default(), &target(), PATIENCE).await, Outcome::Success);
    drop(listener);
    let refused = Outcome::Failure(format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
    assert_eq!(ask(&Network::default(), &target(), PATIENCE).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_runs_into_the_timeout() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::Http { host: "127.0.0.1".into(), port, path: "/".into(), headers: vec![], tls: false };
    let outcome = ask(&Network::default(), &target, Duration::from_secs(1)).await;
    assert!(matches!(&outcome, Outcome::Failure(why) if why.contains("context deadline exceeded")), "{outcome:?}");
}
