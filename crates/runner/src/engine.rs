//! The one engine profile: what guests may do, how they are interrupted, where their memories come from.
use crate::Error;
use std::{
    fs,
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    thread,
    time::Duration,
};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// A guest is looked at this often: it yields, it is throttled, or it is ended.
pub const TICK: Duration = Duration::from_millis(5);
const WASM_STACK_BYTES: usize = 512 * 1024;
/// Host functions run on the same stack, above the guest: they get 1.5 MiB.
const ASYNC_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Frames of a trap's backtrace: `terminated.message` has room for some.
const BACKTRACE_FRAMES: usize = 20;
/// Live instances at once. Each reserves 4 GiB of 47 bits of address space, and uses some of `vm.max_map_count`.
const INSTANCES_MAX: u32 = 1_000;
/// Mappings that one live instance with its stack may take.
const MAPS_PER_INSTANCE: u32 = 16;
/// What Linux gives a process when nobody set `vm.max_map_count`.
const MAX_MAP_COUNT: u32 = 65_530;
const MEMORIES_PER_COMPONENT: u32 = 8;
const INSTANCES_PER_COMPONENT: u32 = 64;
const TABLES_PER_COMPONENT: u32 = 16;
/// Kept in a slot between two uses, so that a request need not fault its first pages in again.
const KEEP_BYTES: usize = 32 * 1024;
/// Slots that keep it: bounds what a burst leaves behind to some 2 MiB.
const WARM_SLOTS: u32 = 64;

fn profile() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(ASYNC_STACK_BYTES);
    config.async_stack_zeroing(true);
    config.wasm_component_model(true);
    config.wasm_memory64(false);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    config
}

/// The engine that compiles. It makes the same code, and reserves no address space for instances.
pub fn compiling() -> Result<Engine, Error> {
    Engine::new(&profile()).map_err(Error::Engine)
}

/// The engine that runs guests, with pooled memories; without them where the machine has no room.
pub fn running() -> Result<Engine, Error> {
    let mut config = profile();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances(max_map_count()))));
    let engine = Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "memories are made on demand, which is slower: the pool does not fit");
        compiling().map_err(|_| error)
    });
    let engine = engine.map_err(Error::Engine)?;
    tick(&engine)?;
    Ok(engine)
}

/// As many as the machine has room for.
fn instances(max_map_count: u32) -> u32 {
    (max_map_count / MAPS_PER_INSTANCE).clamp(1, INSTANCES_MAX)
}

fn max_map_count() -> u32 {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(MAX_MAP_COUNT)
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(instances)
        .total_tables(instances * 2)
        .total_stacks(instances)
        .total_core_instances(instances * 4)
        .total_component_instances(instances)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_core_instances_per_component(INSTANCES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .linear_memory_keep_resident(KEEP_BYTES)
        .max_unused_warm_slots(WARM_SLOTS);
    pool
}

/// Ticks for as long as the engine lives.
fn tick(engine: &Engine) -> Result<(), Error> {
    let engine = engine.weak();
    thread::Builder::new().name("ticker".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}

/// Names an engine and its settings: code made for one is refused by another.
pub fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Fingerprint(sha2::Sha256::default());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    knarr_runtime::seal::hex(&sha2::Digest::finalize(hasher.0)[..16])
}

/// A hasher that gives the same in every process, which std does not promise.
struct Fingerprint(sha2::Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_makes_code_for_the_runner() {
        assert_eq!(fingerprint(&compiling().unwrap()), fingerprint(&running().unwrap()));
    }

    #[test]
    fn takes_no_more_instances_than_the_machine_maps() {
        for (max_map_count, want) in [(65_530, 1_000), (1_600, 100), (0, 1)] {
            assert_eq!(instances(max_map_count), want);
        }
    }
}
