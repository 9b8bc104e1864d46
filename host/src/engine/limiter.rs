//! Limits on the memory and the tables of an instance, summed over all its memories and all its tables.
//!
//! wasmtime's own limits apply to each memory and each table, and a component may have thousands of either.

use wasmtime::{ResourceLimiter, Result};

/// The maximum number of elements in all tables together. Modules compiled from Go have tables of tens of thousands.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

/// The maximum number of core instances, of memories and of tables in a component. One built with Python's tools has
/// about forty.
const MAX_ITEMS: usize = 1_000;

/// Tracks the resources of an instance, and rejects growth beyond its limits.
pub(crate) struct Limiter {
    memory: Quota,
    table_elements: Quota,
    max_items: usize,
}

/// A resource with a limit.
struct Quota {
    used: usize,
    limit: usize,
}

impl Limiter {
    /// Creates a limiter for an instance whose memories may have `memory` bytes together.
    pub(crate) fn new(memory: usize) -> Self {
        Self {
            memory: Quota::new(memory),
            table_elements: Quota::new(MAX_TABLE_ELEMENTS),
            max_items: MAX_ITEMS,
        }
    }

    /// Creates a limiter for one core module with one memory, as in Envoy.
    pub(crate) fn for_core_module(memory: usize) -> Self {
        Self {
            max_items: 1,
            ..Self::new(memory)
        }
    }
}

impl Quota {
    fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    fn try_grow(&mut self, from: usize, to: usize) -> bool {
        let used = self.used.saturating_add(to.saturating_sub(from));
        let fits = used <= self.limit;
        if fits {
            self.used = used;
        }
        fits
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, from: usize, to: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.memory.try_grow(from, to))
    }

    fn table_growing(&mut self, from: usize, to: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.table_elements.try_grow(from, to))
    }

    fn instances(&self) -> usize {
        self.max_items
    }

    fn memories(&self) -> usize {
        self.max_items
    }

    fn tables(&self) -> usize {
        MAX_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_limit() {
        let mut limiter = Limiter::new(3 << 16);
        let mut grows =
            |from: usize, to: usize| limiter.memory_growing(from << 16, to << 16, None).unwrap();
        assert!(grows(0, 1), "the first memory");
        assert!(grows(0, 1), "the second");
        assert!(!grows(1, 3), "two pages more would be four");
        assert!(grows(1, 2), "one more is three");
        assert!(!grows(0, 1), "and that was the last");
    }
}
