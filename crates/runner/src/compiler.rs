//! The role `compiler`: turns one Wasm file into machine code, and ends. It parses strangers' bytes, so it may do nothing but that:
//! Wasm comes in on stdin, code goes out on stdout, and what it says goes to stderr.
use crate::{Error, arguments, engine, load, runner::chain, sandbox};
use knarr_runtime::{Error as Refusal, protocol::Compiled};
use std::{
    io::{Read, Write, stderr, stdin, stdout},
    process::ExitCode,
};
use wasmtime::{Engine, Module, component::Component};

/// The largest Wasm file: Python guests have some 40 MB.
const WASM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Compiles. `arguments` are those after `compiler`.
pub fn run_compiler(arguments: Vec<String>) -> ExitCode {
    let compiled = match arguments::Compiler::parse(arguments).and_then(|arguments| run(&arguments)) {
        Ok(engine) => Compiled::Done { engine },
        Err(error) => Compiled::Refused(match error {
            Error::Refused(refusal) => refusal,
            error => Refusal::Unavailable(chain(&error)),
        }),
    };
    let said = serde_json::to_string(&compiled).expect("plain data can be written as JSON");
    match writeln!(stderr(), "{said}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(arguments: &arguments::Compiler) -> Result<String, Error> {
    sandbox::enter_compiler(arguments)?;
    let engine = engine::compiling()?;
    if !arguments.describe {
        let mut wasm = Vec::new();
        stdin().lock().take(WASM_BYTES_MAX + 1).read_to_end(&mut wasm)?;
        let code = compile(&engine, &wasm)?;
        let mut out = stdout().lock();
        out.write_all(&code)?;
        out.flush()?;
    }
    Ok(engine::fingerprint(&engine))
}

/// Machine code for a component or a core module that can be started here.
fn compile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Error> {
    if u64::try_from(wasm.len()).is_ok_and(|bytes| bytes > WASM_BYTES_MAX) {
        return Err(Refusal::NotRunnable(format!("it is larger than {WASM_BYTES_MAX} bytes")).into());
    }
    if Engine::detect_precompiled(wasm).is_some() {
        return Err(Refusal::NotRunnable("it is machine code, which is made on the node only".into()).into());
    }
    let failed = |error: wasmtime::Error| Error::from(Refusal::CompileError(format!("{error:#}")));
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            let module = Module::from_binary(engine, wasm).map_err(failed)?;
            load::check_module(engine, &module)?;
            module.serialize().map_err(failed)
        }
        [0, b'a', b's', b'm', ..] => {
            let component = Component::from_binary(engine, wasm).map_err(failed)?;
            load::check_component(engine, &component)?;
            component.serialize().map_err(failed)
        }
        _ => Err(Refusal::NotRunnable("it does not begin as WebAssembly does".into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wasm: &[u8], want: &str) {
        let engine = engine::compiling().unwrap();
        let said = match compile(&engine, wasm) {
            Ok(code) => format!("{} bytes of code", if code.is_empty() { "no" } else { "some" }),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(want), "{said:?} instead of {want:?}");
    }

    fn text(wat: &str) -> Vec<u8> {
        wat::parse_str(wat).unwrap()
    }

    #[test]
    fn compiles_what_can_be_run() {
        check(&text(r#"(module (func (export "_start")))"#), "some bytes");
        check(&text(COMMAND), "some bytes");
    }

    const COMMAND: &str = r#"(component
        (core module $m (func (export "run") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $r (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $r)))"#;

    #[test]
    fn says_what_is_no_command_and_no_handler() {
        check(b"#!/bin/sh\n", "not a WebAssembly command or HTTP component: it does not begin");
        check(b"", "not a WebAssembly");
        check(&text("(module)"), "not a WebAssembly command or HTTP component: the core module exports no _start");
        check(&text("(component)"), "not a WebAssembly command or HTTP component: the component exports neither");
    }

    #[test]
    fn names_every_import_that_nobody_gives() {
        let module = r#"(module (import "env" "a" (func)) (import "wasi_snapshot_preview1" "sched_yield" (func (result i32))) (import "x" "b" (func)) (func (export "_start")))"#;
        check(&text(module), "missing import: env::a, x::b");
        let component = r#"(component (import "acme:db/sql@1.0.0" (instance)) (import "acme:queue/push" (instance)))"#;
        check(&text(component), "missing import: acme:db/sql@1.0.0, acme:queue/push");
        // A name that is given, with a function that is not.
        check(&text(r#"(component (import "wasi:cli/exit@0.2.0" (instance (export "leave" (func)))))"#), "missing import: ");
    }

    #[test]
    fn refuses_code_that_was_not_compiled_here() {
        let engine = engine::compiling().unwrap();
        let code = engine.precompile_component(&text(COMMAND)).unwrap();
        check(&code, "not a WebAssembly command or HTTP component: it is machine code");
    }

    #[test]
    fn says_why_broken_wasm_does_not_compile() {
        let mut broken = text(COMMAND);
        broken.truncate(broken.len() - 3);
        check(&broken, "");
        assert!(matches!(compile(&engine::compiling().unwrap(), &broken), Err(Error::Refused(Refusal::CompileError(_)))));
    }

    #[test]
    fn every_truncation_gets_an_answer_of_its_own() {
        let engine = engine::compiling().unwrap();
        let whole = text(COMMAND);
        for end in 0..whole.len() {
            // What is left after the last section that matters is still a component.
            match compile(&engine, &whole[..end]) {
                Ok(code) => assert!(!code.is_empty(), "{end} of {} bytes", whole.len()),
                Err(error) => assert!(matches!(error, Error::Refused(_)), "{end} of {} bytes: {error}", whole.len()),
            }
        }
    }
}
