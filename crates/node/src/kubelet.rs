//! The HTTPS server of a node: logs, health, metrics, pods. Only the API server and administrators may ask.
mod answers;
mod container_logs;
mod metrics;
#[cfg(test)]
mod tests;
mod tls;

use crate::{agent::Shared, config, error::Error};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

/// Connections at once: followers of logs hold theirs.
const CONNECTIONS: usize = 1024;
/// A handshake, and the head of a request, from a peer that is alive.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEAD: Duration = Duration::from_secs(10);
/// After a failed accept, which is a lack of descriptors: they come back when connections end.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Server {
    acceptor: TlsAcceptor,
}

impl Server {
    pub fn new(config: &config::Kubelet) -> Result<Self, Error> {
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(tls::config(config)?)) })
    }

    /// Serves for as long as the agent runs.
    pub async fn serve(&self, shared: &Arc<Shared>) {
        let listener = match listen(&shared.config.kubelet.listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the kubelet's server does not listen");
                return std::future::pending().await;
            }
        };
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (acceptor, shared) = (self.acceptor.clone(), Arc::clone(shared));
                    shared.clone().spawn(async move {
                        let _slot = slot;
                        connection(&acceptor, stream, shared).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

fn listen(listener: &std::net::TcpListener) -> std::io::Result<TcpListener> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn connection(acceptor: &TlsAcceptor, stream: TcpStream, shared: Arc<Shared>) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let peer = tls::peer(stream.get_ref().1);
    let service = TowerToHyperService::new(answers::router(shared, peer));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended");
    }
}
