//! Compiling: one process at a time, under limits, seeing nothing but the Wasm and where the code goes.
use crate::{Config, cache::Cache, users::Users};
use knarr_runtime::{
    Error, Image,
    protocol::{Code, Compiled},
};
use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    process::Command,
    sync::{OnceCell, Semaphore},
    time::timeout,
};

/// What a compiler may say.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// SIGXCPU: the processor time is used up.
const OUT_OF_TIME: i32 = 24;

pub struct Compiler {
    cache: Arc<Cache>,
    config: Config,
    uid: Option<u32>,
    /// One at a time: compiling takes all cores and a lot of memory.
    turn: Semaphore,
    engine: OnceCell<String>,
}

impl Compiler {
    pub fn new(cache: Arc<Cache>, config: Config, users: &Users) -> Self {
        let uid = rustix::process::getuid().is_root().then(|| users.compiler());
        Self { cache, config, uid, turn: Semaphore::new(1), engine: OnceCell::new() }
    }

    /// The compiled code of an image, made when it is not there yet.
    pub async fn code(&self, image: &Image) -> Result<(Code, File), Error> {
        let engine = self.engine().await?;
        if let Some(found) = self.cache.find(&image.digest, engine)? {
            return Ok(found);
        }
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        // Somebody may have compiled it meanwhile.
        if let Some(found) = self.cache.find(&image.digest, engine)? {
            return Ok(found);
        }
        self.compile(image, engine).await?;
        self.cache.find(&image.digest, engine)?.ok_or_else(|| Error::Unavailable("the compiled code is gone".into()))
    }

    /// Throws the code of an image away that did not hold what its seal promised.
    pub async fn distrust(&self, image: &Image) -> Result<(), Error> {
        tracing::error!(digest = %image.digest, "compiled code was changed by somebody else: it is thrown away and compiled again");
        self.cache.forget(&image.digest, self.engine().await?)
    }

    async fn engine(&self) -> Result<&str, Error> {
        let asked = self.engine.get_or_try_init(|| async {
            let nothing = (Stdio::null(), Stdio::null());
            match self.run(&["--describe", "yes"], nothing).await? {
                Compiled::Done { engine } => Ok(engine),
                Compiled::Refused(error) => Err(error),
            }
        });
        asked.await.map(String::as_str)
    }

    async fn compile(&self, image: &Image, engine: &str) -> Result<(), Error> {
        let broken = |error: std::io::Error| Error::Unavailable(format!("{}: {error}", image.path.display()));
        let wasm = File::open(&image.path).map_err(broken)?;
        let draft = self.cache.draft().map_err(broken)?;
        let out = draft.file.try_clone().map_err(broken)?;
        tracing::info!(digest = %image.digest, "compiling");
        match self.run(&[], (wasm.into(), out.into())).await? {
            Compiled::Refused(error) => return Err(error),
            Compiled::Done { engine: made } if made != engine => {
                return Err(Error::Unavailable("the program was replaced while it ran: restart the agent".into()));
            }
            Compiled::Done { .. } => {}
        }
        let (cache, digest, engine) = (self.cache.clone(), image.digest.clone(), engine.to_owned());
        let kept = tokio::task::spawn_blocking(move || cache.keep(&draft, &digest, &engine)).await;
        kept.map_err(|error| Error::Unavailable(error.to_string()))?
    }

    async fn run(&self, more: &[&str], (input, output): (Stdio, Stdio)) -> Result<Compiled, Error> {
        let limit_s = self.config.compile_limit.as_secs().max(1);
        let mut command = Command::new(&self.config.program);
        command.arg("compiler").arg("--limit-s").arg(limit_s.to_string()).args(more);
        if let Some(uid) = self.uid {
            command.arg("--uid").arg(uid.to_string());
        }
        command.env_clear().current_dir("/").stdin(input).stdout(output).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| Error::Unavailable(format!("{}: {error}", self.config.program.display())))?;
        let mut stderr = child.stderr.take().expect("it is piped").take(SAID_BYTES_MAX);
        let mut said = Vec::new();
        let ending = async {
            stderr.read_to_end(&mut said).await?;
            child.wait().await
        };
        match timeout(Duration::from_secs(limit_s), ending).await {
            Ok(Ok(status)) => answer(&said, status, limit_s),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            // The child ends with its handle.
            Err(_) => Err(Error::CompileTimeout { limit_s }),
        }
    }
}

/// The last line that is an answer; else what the end of the process means.
fn answer(said: &[u8], status: ExitStatus, limit_s: u64) -> Result<Compiled, Error> {
    let answer = said.split(|b| *b == b'\n').rev().find_map(|line| serde_json::from_slice::<Compiled>(line).ok());
    match (answer, status.signal()) {
        (Some(compiled), None) => Ok(compiled),
        (_, Some(OUT_OF_TIME)) => Err(Error::CompileTimeout { limit_s }),
        // Out of memory ends a Rust program by SIGABRT.
        (_, Some(signal)) => {
            Err(Error::CompileError(format!("the compiler was ended by signal {signal}: the image may be more than its limits allow")))
        }
        (None, None) => Err(Error::CompileError(format!("the compiler gave no answer ({status})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, raw_status: i32, want: &str) {
        let got = match answer(said.as_bytes(), ExitStatus::from_raw(raw_status), 30) {
            Ok(compiled) => format!("{compiled:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn takes_the_last_answer_and_tells_how_it_ended() {
        check("some log line\n{\"Done\":{\"engine\":\"e\"}}\n", 0, "Done { engine: \"e\" }");
        check("{\"Refused\":{\"CompileError\":\"bad\"}}\n", 0, "Refused(CompileError(\"bad\"))");
        check("", 24, "compiling took longer than 30 s");
        check("{\"Done\":{\"engine\":\"e\"}}", 6, "the compiler was ended by signal 6: the image may be more than its limits allow");
        check("nonsense", 256, "the compiler gave no answer (exit status: 1)");
    }
}
