//! Log lines on stderr: text for people, JSON for collectors. `KNARR_LOG` chooses the level, as `RUST_LOG` does elsewhere.
use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt};

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Info of our own rooms; of libraries only what went wrong.
const DEFAULT: &str = "warn,knarr=warn,knarr_server=warn,knarr_node=warn";

pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("KNARR_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
