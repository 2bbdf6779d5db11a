//! The memory of a container: all linear memories and tables of all its instances, summed against one limit.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use wasmtime::ResourceLimiter;

/// A container without `resources.limits.memory` may use this much.
const DEFAULT_BYTES: u64 = 512 * 1024 * 1024;
/// What an element of a table takes on the host.
const ELEMENT_BYTES: u64 = 8;

/// Shared by all instances of one container.
#[derive(Debug)]
pub struct Memory {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

/// Growing beyond the limit ends the guest with this.
#[derive(Debug, thiserror::Error)]
#[error("the container's memory limit of {limit_bytes} bytes is reached")]
pub struct OutOfMemory {
    limit_bytes: u64,
}

impl Memory {
    /// `limit_bytes` 0: the default.
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        let limit_bytes = if limit_bytes == 0 { DEFAULT_BYTES } else { limit_bytes };
        Arc::new(Self { limit_bytes, used_bytes: AtomicU64::new(0) })
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        let taken = self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(|_| ()).map_err(|_| OutOfMemory { limit_bytes: self.limit_bytes })
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One store's share. What it took goes back with it.
pub struct Limiter {
    memory: Arc<Memory>,
    taken_bytes: u64,
    /// The last growth that was allowed, should it fail afterwards.
    last_bytes: u64,
}

impl Limiter {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory, taken_bytes: 0, last_bytes: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize, unit_bytes: u64) -> wasmtime::Result<bool> {
        let units = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let bytes = units.saturating_mul(unit_bytes);
        self.memory.take(bytes)?;
        self.taken_bytes += bytes;
        self.last_bytes = bytes;
        Ok(true)
    }

    fn undo(&mut self) {
        self.memory.give_back(self.last_bytes);
        self.taken_bytes -= self.last_bytes;
        self.last_bytes = 0;
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.memory.give_back(self.taken_bytes);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Beyond the memory's own maximum the guest gets -1, as the specification says; that is no matter of the limit.
        if maximum.is_some_and(|most| desired > most) {
            self.last_bytes = 0;
            return Ok(false);
        }
        self.grow(current, desired, 1)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|most| desired > most) {
            self.last_bytes = 0;
            return Ok(false);
        }
        self.grow(current, desired, ELEMENT_BYTES)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_all_instances_of_a_container() {
        let memory = Memory::new(100);
        let (mut a, mut b) = (Limiter::new(memory.clone()), Limiter::new(memory.clone()));
        assert!(a.memory_growing(0, 60, None).unwrap());
        assert!(b.memory_growing(0, 40, None).unwrap());
        let error = b.memory_growing(40, 41, None).unwrap_err();
        assert!(error.downcast_ref::<OutOfMemory>().is_some());
        drop(a);
        assert_eq!(memory.used_bytes(), 40);
        assert!(b.table_growing(0, 7, None).unwrap());
        assert!(b.table_growing(7, 8, None).is_err());
    }

    #[test]
    fn growth_that_fails_is_not_counted() {
        let memory = Memory::new(100);
        let mut limiter = Limiter::new(memory.clone());
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert_eq!(memory.used_bytes(), 0);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("beyond its maximum")).unwrap();
        assert_eq!(memory.used_bytes(), 0);
    }
}
