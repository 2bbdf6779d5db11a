//! The binary: every role of a cluster and the user's commands. Wiring only: it reads the command line and the environment, opens the
//! rooms and joins them.
mod agent;
mod cli;
mod client;

mod control_plane;
mod demo;
mod images;
mod logging;
mod machine;
mod node;
mod options;
mod paths;
mod progress;
mod run;
mod up;

use clap::Parser as _;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = guest_role() {
        return code;
    }
    let cli = Cli::parse();
    logging::start(cli.log_format);
    rustls::crypto::ring::default_provider().install_default().expect("nobody chose another provider before");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    let ended = runtime.block_on(dispatch(cli.command));
    // Whatever still runs has been told to end; a blocked system call shall not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The roles that the agent starts this same program in: they touch guests, so they start before anything else is set up here.
fn guest_role() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        "runner" => Some(knarr_runner::run_runner(arguments.collect())),
        "compiler" => Some(knarr_runner::run_compiler(arguments.collect())),
        _ => None,
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(options) => demo::run(options).await,
        Command::Up(options) => up::run(options).await,
        Command::Server(options) => control_plane::run(options).await,
        Command::Agent(options) => agent::run(options).await,
        Command::Run(options) => run::run(options).await,
        Command::Push(options) => images::push(options).await,
        Command::Pull(options) => images::pull(options).await,
        Command::Inspect(options) => images::inspect(options).await,
        Command::Image(options) => images::image(options).await,
        Command::Apply(options) => client::apply::run(options).await,
        Command::Get(options) => client::get::run(options).await,
        Command::Logs(options) => client::logs::run(options).await,
        Command::Delete(options) => client::delete::run(options).await,
        Command::Events(options) => client::events::run(options).await,
    }
}
