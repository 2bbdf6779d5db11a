//! What a guest has: WASI out of its container, its limits, its way out.
use crate::{
    containers::Containers,
    live::Live,
    log::{Output, Stream},
    memory::Limiter,
    outgoing::Outgoing,
};
use std::{os::fd::AsRawFd, sync::Arc};
use wasmtime::{Engine, Store, component::ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p1::WasiP1Ctx};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Handles that one instance may hold.
const HANDLES_MAX: usize = 512;
/// Random bytes in one call.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// Headers of one request or response.
const FIELD_BYTES_MAX: usize = 32 * 1024;
/// What one host call may copy out of a guest.
const HOSTCALL_FUEL: usize = 16 * 1024 * 1024;

/// The state of a component's store.
pub struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    limiter: Limiter,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The state of a core module's store.
pub struct CoreGuest {
    pub wasi: WasiP1Ctx,
    limiter: Limiter,
}

/// A store for one instance of a component.
pub fn store(engine: &Engine, containers: &Arc<Containers>, live: &Arc<Live>) -> wasmtime::Result<Store<Guest>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELD_BYTES_MAX);
    let guest = Guest {
        wasi: surroundings(live)?.build(),
        table,
        http,
        outgoing: Outgoing::new(containers.clone(), live.clone()),
        limiter: Limiter::new(live.memory.clone()),
    };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    bound(&mut store, live);
    Ok(store)
}

/// A store for one instance of a core module.
pub fn core_store(engine: &Engine, live: &Arc<Live>) -> wasmtime::Result<Store<CoreGuest>> {
    let guest = CoreGuest { wasi: surroundings(live)?.build_p1(), limiter: Limiter::new(live.memory.clone()) };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    bound(&mut store, live);
    Ok(store)
}

fn bound<T: 'static>(store: &mut Store<T>, live: &Arc<Live>) {
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    store.set_epoch_deadline(1);
    let live = live.clone();
    store.epoch_deadline_callback(move |_| Ok(live.cpu.tick()));
}

/// WASI as the container has it. Sockets and names stay denied: a guest's ways out are `outgoing` and nothing else.
fn surroundings(live: &Live) -> wasmtime::Result<WasiCtxBuilder> {
    let container = &live.container;
    let mut wasi = WasiCtxBuilder::new();
    wasi.max_random_size(RANDOM_BYTES_MAX);
    wasi.stdout(Output::new(live.log.clone(), Stream::Stdout)).stderr(Output::new(live.log.clone(), Stream::Stderr));
    if container.args.is_empty() {
        wasi.arg(&container.name);
    }
    wasi.args(&container.args);
    for (name, value) in &container.env {
        wasi.env(name, value);
    }
    for (mount, folder) in &live.mounts {
        let perms = if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        // The path of the descriptor: this process may not walk down to the folder by its own name.
        wasi.preopened_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()), &mount.target, perms)?;
    }
    Ok(wasi)
}
