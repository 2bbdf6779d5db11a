//! From a Wasm file to code that can be started: the linkers, the check of imports, and loading what the compiler made.
use crate::{
    Error,
    guest::{CoreGuest, Guest},
    imports,
};
use knarr_runtime::{Error as Refusal, protocol::Code, seal};
use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    os::fd::AsRawFd,
};
use wasmtime::{
    Engine, InstancePre, Module, Precompiled,
    component::{self, Component},
};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

/// Code that can be started, shared by all containers of the same image.
pub enum Loaded {
    Component { pre: component::InstancePre<Guest> },
    Core { pre: InstancePre<CoreGuest> },
}

/// What a container does with it.
pub enum Program {
    Serve(ProxyPre<Guest>),
    Run(CommandPre<Guest>),
    RunCore(InstancePre<CoreGuest>),
}

impl Loaded {
    /// A handler is served, unless the container gives `command` or `args` and the component can be run, too.
    pub fn program(&self, run_as_command: bool) -> Result<Program, Error> {
        let pre = match self {
            Self::Core { pre } => return Ok(Program::RunCore(pre.clone())),
            Self::Component { pre } => pre,
        };
        let (proxy, command) = (ProxyPre::new(pre.clone()).ok(), CommandPre::new(pre.clone()).ok());
        match (proxy, command) {
            (_, Some(command)) if run_as_command => Ok(Program::Run(command)),
            (Some(proxy), _) => Ok(Program::Serve(proxy)),
            (None, Some(command)) => Ok(Program::Run(command)),
            (None, None) => {
                Err(Refusal::NotRunnable("the component exports neither wasi:http/incoming-handler nor wasi:cli/run".into()).into())
            }
        }
    }
}

/// Checks that what was compiled can be started here.
pub fn check_component(engine: &Engine, component: &Component) -> Result<(), Error> {
    let kind = component.component_type();
    let names: Vec<String> = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let missing = imports::missing(names.iter().map(String::as_str));
    if !missing.is_empty() {
        return Err(Refusal::ImportUnsatisfied(missing.join(", ")).into());
    }
    let pre = link(engine, component)?;
    Loaded::Component { pre }.program(false).map(|_| ())
}

/// The same for a core module.
pub fn check_module(engine: &Engine, module: &Module) -> Result<(), Error> {
    if module.get_export("_start").is_none() {
        return Err(Refusal::NotRunnable("the core module exports no _start".into()).into());
    }
    let linker = core_linker(engine)?;
    let mut missing = Vec::new();
    for import in module.imports() {
        if import.module() != "wasi_snapshot_preview1" {
            missing.push(format!("{}::{}", import.module(), import.name()));
        }
    }
    if !missing.is_empty() {
        return Err(Refusal::ImportUnsatisfied(missing.join(", ")).into());
    }
    linker.instantiate_pre(module).map(|_| ()).map_err(|error| Refusal::ImportUnsatisfied(format!("{error:#}")).into())
}

fn link(engine: &Engine, component: &Component) -> Result<component::InstancePre<Guest>, Error> {
    let mut linker = component::Linker::<Guest>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(Error::Engine)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(Error::Engine)?;
    linker.instantiate_pre(component).map_err(|error| Refusal::ImportUnsatisfied(format!("{error:#}")).into())
}

fn core_linker(engine: &Engine) -> Result<wasmtime::Linker<CoreGuest>, Error> {
    let mut linker = wasmtime::Linker::<CoreGuest>::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |guest| &mut guest.wasi).map_err(Error::Engine)?;
    Ok(linker)
}

/// Loads a cache entry, once its seal is known to hold.
pub fn load(engine: &Engine, key: &seal::Key, code: &Code, mut file: File) -> Result<Loaded, Error> {
    file.rewind()?;
    if code.engine != crate::engine::fingerprint(engine)
        || !seal::holds(key, &code.wasm_digest, &code.engine, &mut BufReader::new(&file), &code.seal)?
    {
        return Err(Error::Seal);
    }
    file.rewind()?;
    let mut head = [0u8; 64];
    file.by_ref().take(64).read_exact(&mut head).map_err(|_| Error::Seal)?;
    // The descriptor's own path: the same file that was just checked, whatever a name may stand for by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match Engine::detect_precompiled_file(&path).map_err(Error::Engine)? {
        #[expect(unsafe_code, reason = "loading machine code is what a runner is for")]
        Some(Precompiled::Component) => {
            // SAFETY: the seal says that this node's compiler wrote exactly these bytes for exactly this engine. Cache files are never
            // written again after they are sealed: the agent makes each under another name and renames it.
            let component = unsafe { Component::deserialize_file(engine, &path) }.map_err(Error::Engine)?;
            Ok(Loaded::Component { pre: link(engine, &component)? })
        }
        #[expect(unsafe_code, reason = "loading machine code is what a runner is for")]
        Some(Precompiled::Module) => {
            // SAFETY: as above.
            let module = unsafe { Module::deserialize_file(engine, &path) }.map_err(Error::Engine)?;
            let pre = core_linker(engine)?.instantiate_pre(&module).map_err(Error::Engine)?;
            Ok(Loaded::Core { pre })
        }
        None => Err(Error::Seal),
    }
}
