//! The role `runner`: gives up its rights, then serves one isolation domain until it has had nothing to do for a while.
use crate::{Error, agent::Agent, arguments, containers::Containers, control, sandbox};
use std::{
    io::stdin,
    os::{fd::AsFd, unix::net::UnixListener},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Threads that run guests: one for each core, within these bounds. Each costs some 30 KiB when idle.
const GUEST_THREADS: std::ops::RangeInclusive<usize> = 2..=8;
/// Threads for what blocks (files), of the whole runner.
const BLOCKING_THREADS_MAX: usize = 16;
/// How often it is asked whether there is still something to do.
const IDLE_LOOK: Duration = Duration::from_millis(250);

/// Runs a runner to its end. `arguments` are those after `runner`; the control socket is stdin.
pub fn run_runner(arguments: Vec<String>) -> ExitCode {
    match arguments::Runner::parse(arguments).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %chain(&error), "the runner ends");
            eprintln!("runner: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn run(arguments: &arguments::Runner) -> Result<(), Error> {
    let control = UnixListener::from(stdin().as_fd().try_clone_to_owned()?);
    control.set_nonblocking(true)?;
    sandbox::enter_runner(arguments)?;
    let guest_threads = thread::available_parallelism().map_or(1, usize::from).clamp(*GUEST_THREADS.start(), *GUEST_THREADS.end());
    let guests = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(guest_threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("guests")
        .enable_all()
        .build()?;
    let hands = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let containers = Containers::new(guests.handle().clone(), Agent::default())?;
    tracing::info!(domain = %arguments.domain, guest_threads, "runner is ready");
    hands.block_on(async {
        let control = tokio::net::UnixListener::from_std(control)?;
        tokio::select! {
            () = control::serve(control, containers.clone(), arguments.agent_uid) => {}
            () = containers.over.cancelled() => tracing::info!(domain = %arguments.domain, "runner was told to end"),
            () = idle(&containers, arguments.idle) => tracing::info!(domain = %arguments.domain, "runner has nothing to do and ends"),
        }
        Ok::<_, Error>(())
    })?;
    guests.shutdown_background();
    Ok(())
}

/// Returns when there was no container for that long.
async fn idle(containers: &Arc<Containers>, limit: Duration) {
    let mut since = Instant::now();
    let mut looks = tokio::time::interval(IDLE_LOOK.min(limit.max(Duration::from_millis(1))));
    while since.elapsed() < limit {
        looks.tick().await;
        if !containers.is_empty() {
            since = Instant::now();
        }
    }
}
