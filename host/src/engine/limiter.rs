//! What an instance may take of the machine, over all its memories and tables together.
//!
//! wasmtime's own limits are for each memory and each table, and a component may have thousands of either.

use wasmtime::{ResourceLimiter, Result};

/// How many elements all tables together may have. Modules made by Go have tables of tens of thousands.
const TABLE_ELEMENTS: usize = 1 << 20;

/// How many core instances, memories and tables a component may have. One that Python's tools made has about forty.
const PARTS: usize = 1_000;

/// Counts what an instance has, and refuses what is too much.
pub(crate) struct Limiter {
    memory: Share,
    elements: Share,
    parts: usize,
}

/// Something of which there is so much.
struct Share {
    used: usize,
    most: usize,
}

impl Limiter {
    /// For an instance whose memories may have `memory` bytes together.
    pub(crate) fn new(memory: usize) -> Self {
        Self {
            memory: Share::of(memory),
            elements: Share::of(TABLE_ELEMENTS),
            parts: PARTS,
        }
    }

    /// For one core module with one memory, as Envoy takes it.
    pub(crate) fn for_core_module(memory: usize) -> Self {
        Self {
            parts: 1,
            ..Self::new(memory)
        }
    }
}

impl Share {
    fn of(most: usize) -> Self {
        Self { used: 0, most }
    }

    fn grows(&mut self, from: usize, to: usize) -> bool {
        let used = self.used.saturating_add(to.saturating_sub(from));
        let fits = used <= self.most;
        if fits {
            self.used = used;
        }
        fits
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, from: usize, to: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.memory.grows(from, to))
    }

    fn table_growing(&mut self, from: usize, to: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.elements.grows(from, to))
    }

    fn instances(&self) -> usize {
        self.parts
    }

    fn memories(&self) -> usize {
        self.parts
    }

    fn tables(&self) -> usize {
        PARTS
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
