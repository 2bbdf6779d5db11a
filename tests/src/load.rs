//! Load on one HTTP/1.1 address over keep-alive connections. Small enough to leave the machine to what is measured.
use anyhow::{Context as _, bail, ensure};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a load saw.
#[derive(Debug, Clone)]
pub struct Load {
    pub requests_per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Asks `GET path` on so many connections for so long, one request after another on each.
pub async fn load(address: SocketAddr, host: &str, path: &str, connections: usize, lasting: Duration) -> anyhow::Result<Load> {
    let request: Arc<[u8]> = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes().into();
    let until = Instant::now() + lasting;
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(connection(address, Arc::clone(&request), until))).collect();
    let mut took_us = Vec::new();
    for task in tasks {
        took_us.extend(task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took_us.sort_unstable();
    ensure!(!took_us.is_empty(), "no request was answered");
    let at = |percent: usize| f64::from(took_us[(took_us.len() - 1) * percent / 100]) / 10.0;
    Ok(Load { requests_per_s: took_us.len() as f64 / seconds, p50_us: at(50), p99_us: at(99) })
}

/// Tenths of microseconds of each request.
async fn connection(address: SocketAddr, request: Arc<[u8]>, until: Instant) -> anyhow::Result<Vec<u32>> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    let (mut took, mut buffer) = (Vec::with_capacity(1 << 16), Vec::with_capacity(4096));
    while Instant::now() < until {
        let began = Instant::now();
        stream.write_all(&request).await?;
        answer(&mut stream, &mut buffer).await?;
        took.push(u32::try_from(began.elapsed().as_nanos() / 100).unwrap_or(u32::MAX));
    }
    Ok(took)
}

/// Reads one whole answer, which must be a 200.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
        let Some(head) = find(buffer, b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
        if !text.starts_with("http/1.1 200") {
            bail!("answered {}", text.lines().next().unwrap_or_default());
        }
        let body = head + 4;
        match text.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            Some(length) => {
                let whole = body + length.trim().parse::<usize>()?;
                while buffer.len() < whole {
                    ensure!(stream.read_buf(buffer).await? > 0, "the answer broke off");
                }
            }
            None => {
                while !buffer[body..].ends_with(b"0\r\n\r\n") {
                    ensure!(stream.read_buf(buffer).await? > 0, "the answer broke off");
                }
            }
        }
        return Ok(());
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
