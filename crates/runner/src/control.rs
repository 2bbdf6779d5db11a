//! The control socket: the agent's calls, and what this runner reports and asks of its own accord.
use crate::{
    Error,
    containers::{Containers, Handed},
};
use knarr_runtime::{
    Error as Refusal,
    connection::{self, DESCRIPTORS_MAX, Receiver, Sender},
    protocol::{Call, FromRunner, Reply, ToRunner},
};
use std::{fs::File, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::net::{UnixListener, UnixStream};

/// The longest grace period: a year, so that arithmetic on it stays sound.
const GRACE_MS_MAX: u64 = 365 * 24 * 3_600 * 1_000;

/// Serves agents until the runner is told to end.
pub async fn serve(listener: UnixListener, containers: Arc<Containers>, agent_uid: u32) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_agent(&stream, agent_uid) => drop(tokio::spawn(converse(stream, containers.clone()))),
            Ok(_) => tracing::warn!("a stranger spoke to the control socket"),
            Err(error) => {
                tracing::warn!(%error, "the control socket could not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_agent(stream: &UnixStream, agent_uid: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == agent_uid)
}

async fn converse(stream: UnixStream, containers: Arc<Containers>) {
    let (sender, mut receiver) = connection::open(stream);
    let number = containers.agent.attach(sender.clone());
    tracing::info!("the agent is here");
    let reporting = tokio::spawn(report(sender.clone(), containers.clone()));
    if let Err(error) = listen(&sender, &mut receiver, &containers).await {
        tracing::warn!(%error, "the agent's connection broke");
    }
    reporting.abort();
    containers.agent.detach(number);
}

async fn listen(sender: &Sender, receiver: &mut Receiver, containers: &Arc<Containers>) -> std::io::Result<()> {
    while let Some((message, descriptors)) = receiver.receive::<ToRunner>().await? {
        match message {
            ToRunner::Route(routes) => containers.route(routes),
            ToRunner::Connected { id, outcome } => {
                let outcome =
                    outcome.and_then(|()| descriptors.into_iter().next().ok_or(knarr_runtime::protocol::ConnectError::Unreachable));
                containers.agent.connected(id, outcome);
            }
            // A call that waits shall not keep others waiting.
            ToRunner::Call { id, call: Call::Stop { id: container, grace_ms } } => {
                let (sender, containers) = (sender.clone(), containers.clone());
                tokio::spawn(async move {
                    let stopped = containers.stop(&container, Duration::from_millis(grace_ms.min(GRACE_MS_MAX))).await;
                    answer(&sender, id, stopped.map(|seen| (Reply::Ended(seen), vec![]))).await;
                });
            }
            ToRunner::Call { id, call: Call::End { grace_ms } } => {
                let (sender, containers) = (sender.clone(), containers.clone());
                tokio::spawn(async move {
                    containers.stop_all(Duration::from_millis(grace_ms.min(GRACE_MS_MAX))).await;
                    answer(&sender, id, Ok((Reply::Done, vec![]))).await;
                    containers.over.cancel();
                });
            }
            ToRunner::Call { id, call } => answer(sender, id, obey(containers, call, descriptors)).await,
        }
    }
    Ok(())
}

fn obey(containers: &Arc<Containers>, call: Call, descriptors: Vec<OwnedFd>) -> Result<(Reply, Vec<OwnedFd>), Error> {
    let done = |()| (Reply::Done, vec![]);
    match call {
        Call::Hello { key } => {
            containers.unlock(key);
            Ok((Reply::Done, vec![]))
        }
        Call::Start { container, code } => {
            let handed = sort_out(descriptors, container.listen.len(), container.mounts.len())?;
            containers.start(*container, &code, handed).map(done)
        }
        Call::Stop { .. } | Call::End { .. } => unreachable!("`listen` takes these"),
        Call::Remove { id } => containers.remove(&id).map(done),
        Call::Reopen { id } => {
            let file = descriptors.into_iter().next().ok_or_else(|| Refusal::Unavailable("no log was handed over".into()))?;
            containers.reopen(&id, file.into()).map(done)
        }
        Call::Observe => Ok((Reply::Observed(containers.observe()), vec![])),
        Call::Usage => Ok((Reply::Usage(containers.usage()), vec![])),
        Call::Listeners { skip } => {
            let (listeners, descriptors, more) = containers.listeners(skip, DESCRIPTORS_MAX)?;
            Ok((Reply::Listeners { listeners, more }, descriptors))
        }
    }
}

/// The descriptors of a start, in the order that `Call::Start` names.
fn sort_out(descriptors: Vec<OwnedFd>, listeners: usize, mounts: usize) -> Result<Handed, Error> {
    if descriptors.len() != 2 + listeners + mounts {
        return Err(Refusal::Unavailable(format!("{} descriptors for {listeners} listeners and {mounts} mounts", descriptors.len())).into());
    }
    let mut left = descriptors.into_iter();
    let mut file = || File::from(left.next().expect("they were counted"));
    let (code, log) = (file(), file());
    let listeners = left.by_ref().take(listeners).collect();
    Ok(Handed { code, log, listeners, mounts: left.collect() })
}

async fn answer(sender: &Sender, id: u64, outcome: Result<(Reply, Vec<OwnedFd>), Error>) {
    let (reply, descriptors) = outcome.unwrap_or_else(|error| match error {
        Error::Seal => (Reply::Unsealed, vec![]),
        error => (Reply::Refused(error.answer()), vec![]),
    });
    if sender.send(&FromRunner::Reply { id, reply }, descriptors).await.is_err() {
        tracing::debug!("an answer has no agent to go to");
    }
}

/// Tells the agent what changed, for as long as it is connected.
async fn report(sender: Sender, containers: Arc<Containers>) {
    loop {
        for id in containers.changes.take() {
            let Ok(live) = containers.find(&id) else { continue };
            if sender.send(&FromRunner::Changed(live.observed()), vec![]).await.is_err() {
                return;
            }
        }
        containers.changes.some.notified().await;
    }
}
