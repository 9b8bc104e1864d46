//! Limits on the memory and the tables of an instance, summed over all its memories and all its tables.
//!
//! wasmtime's own limits apply to each memory and each table, and a component may have thousands of either.

use tidegate_semantics::context::Services;
use tidegate_semantics::plugin_stats::{InstanceMemory, InstanceStats};
use wasmtime::{ResourceLimiter, Result};

/// The maximum number of elements in all tables together. Modules compiled from Go have tables of tens of thousands.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

/// The maximum number of core instances, of memories and of tables in a component. One built with Python's tools has
/// about forty.
const MAX_ITEMS: usize = 1_000;

/// Tracks the resources of an instance, and rejects growth beyond its limits.
pub(crate) struct Limiter {
    memory: Quota,
    /// The same memory in the statistics, if there are any.
    counted: Option<InstanceMemory>,
    table_elements: Quota,
    max_items: usize,
}

/// A resource with a limit.
struct Quota {
    used: usize,
    limit: usize,
}

impl Limiter {
    /// Creates a limiter for an instance, whose limits apply to all its memories and tables together.
    pub(crate) fn new(services: &Services) -> Self {
        let counted = services.stats.as_ref().map(InstanceStats::memory);
        Self::with_memory(services.limits.memory, counted)
    }

    fn with_memory(limit: usize, counted: Option<InstanceMemory>) -> Self {
        Self {
            memory: Quota::new(limit),
            counted,
            table_elements: Quota::new(MAX_TABLE_ELEMENTS),
            max_items: MAX_ITEMS,
        }
    }

    /// Creates a limiter for one core module with one memory, as in Envoy.
    pub(crate) fn for_core_module(services: &Services) -> Self {
        Self {
            max_items: 1,
            ..Self::new(services)
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
    fn memory_growing(&mut self, from: usize, to: usize, maximum: Option<usize>) -> Result<bool> {
        // Growth beyond the maximum of the memory's type would fail after it has been counted.
        let grows = maximum.is_none_or(|it| to <= it) && self.memory.try_grow(from, to);
        if grows && let Some(counted) = &mut self.counted {
            counted.add(to.saturating_sub(from));
        }
        Ok(grows)
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
    use tidegate_semantics::plugin_stats::PluginStats;

    #[test]
    fn memories_share_one_limit() {
        let mut limiter = Limiter::with_memory(3 << 16, None);
        let mut grows =
            |from: usize, to: usize| limiter.memory_growing(from << 16, to << 16, None).unwrap();
        assert!(grows(0, 1), "the first memory");
        assert!(grows(0, 1), "the second");
        assert!(!grows(1, 3), "two pages more would be four");
        assert!(grows(1, 2), "one more is three");
        assert!(!grows(0, 1), "and that was the last");
    }

    #[test]
    fn only_memory_that_grows_is_counted() {
        let stats = PluginStats::default();
        let counted = stats.instance(&["a".to_owned()], 0).memory();
        let mut limiter = Limiter::with_memory(3 << 16, Some(counted));
        let mut grows = |from: usize, to: usize, maximum: usize| {
            let maximum = Some(maximum << 16);
            limiter
                .memory_growing(from << 16, to << 16, maximum)
                .unwrap()
        };
        assert!(grows(0, 2, 2));
        assert!(!grows(2, 3, 2), "the maximum of this memory");
        assert!(!grows(0, 2, 2), "the limit of the instance");
        assert!(grows(0, 1, 2), "failed growth uses up nothing");
        let memory = || stats.all().into_iter().map(|it| it.memory);
        assert_eq!(memory().collect::<Vec<_>>(), [[(0, 3 << 16)]]);
        drop(limiter);
        assert_eq!(memory().collect::<Vec<_>>(), [[(0, 0)]]);
    }
}
