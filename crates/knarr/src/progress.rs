//! Lines that tell a waiting person what goes on. On a terminal a step in progress is a line that is rewritten; elsewhere only what is done is said.
use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

pub struct Progress {
    terminal: bool,
    steps: Vec<(String, Duration)>,
    began: Instant,
    step_began: Instant,
}

impl Progress {
    pub fn start() -> Self {
        let now = Instant::now();
        Self { terminal: std::io::stdout().is_terminal(), steps: Vec::new(), began: now, step_began: now }
    }

    /// What is being waited for now.
    pub fn doing(&mut self, what: &str) {
        if self.terminal {
            print!("\r\x1b[K  \x1b[2m...\x1b[0m {what}");
            self.flush();
        }
    }

    /// The step that ran since the last one is done.
    pub fn done(&mut self, what: impl Into<String>) {
        let (what, took) = (what.into(), self.step_began.elapsed());
        self.step_began = Instant::now();
        if self.terminal {
            println!("\r\x1b[K  \x1b[32mok\x1b[0m  {what} \x1b[2m({})\x1b[0m", milliseconds(took));
        } else {
            println!("  ok  {what} ({})", milliseconds(took));
        }
        self.flush();
        self.steps.push((what, took));
    }

    pub fn total(&self) -> Duration {
        self.began.elapsed()
    }

    fn flush(&self) {
        // Nobody reads any more: what is left to do is not for the eyes.
        drop(std::io::stdout().flush());
    }
}

pub fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
