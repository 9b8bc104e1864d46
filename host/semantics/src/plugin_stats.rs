//! Statistics of plugins: how often their callbacks run and fail, and how much memory they use. The admin listener
//! (`proxy/admin.rs`) reports them.
//!
//! A plugin has separate counters on each worker, so that workers do not write to the same memory. The lock is only taken when an
//! instance starts and when the statistics are read. Like metrics, they live as long as their owner: a server keeps them across
//! `reload`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The statistics of all plugins of a proxy.
#[derive(Debug, Default)]
pub struct PluginStats {
    /// By the name of the plugin and the number of the worker.
    counters: Mutex<BTreeMap<String, BTreeMap<usize, Arc<Counters>>>>,
}

/// The statistics of a plugin at some point in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSnapshot {
    /// The name of the plugin.
    pub plugin: String,
    /// The number of callbacks that have run.
    pub callbacks: u64,
    /// The total duration of these callbacks, including hostcalls.
    pub time: Duration,
    /// The number of times that the plugin's code has trapped, has exited or has exceeded a limit.
    pub traps: u64,
    /// The number of instances that were started to replace one that had trapped.
    pub restarts: u64,
    /// The size in bytes of the linear memory of the plugin's instances on each worker, by the number of the worker. Plugins that share
    /// an instance share its memory.
    pub memory: Vec<(usize, usize)>,
}

/// The counters of a plugin on one worker.
#[derive(Debug, Default)]
struct Counters {
    callbacks: AtomicU64,
    nanoseconds: AtomicU64,
    traps: AtomicU64,
    restarts: AtomicU64,
    /// The sum over the plugin's instances. After a reload, the old instance exists until its last stream has ended and its plugins are
    /// done.
    memory: AtomicUsize,
}

/// The counters of an instance's plugins, by the plugin's index in the instance.
#[doc(hidden)]
pub struct InstanceStats(Vec<Arc<Counters>>);

/// The memory of an instance. It is counted until this value is dropped.
#[doc(hidden)]
pub struct InstanceMemory {
    plugins: Vec<Arc<Counters>>,
    bytes: usize,
}

// === impl PluginStats ===

impl PluginStats {
    /// Returns the statistics of all plugins, sorted by name. Plugins that a reload has removed are included.
    pub fn all(&self) -> Vec<PluginSnapshot> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .map(|(plugin, workers)| PluginSnapshot::new(plugin, workers))
            .collect()
    }

    /// Returns the counters of an instance with these plugins.
    #[doc(hidden)]
    pub fn instance(&self, plugins: &[String], worker: usize) -> InstanceStats {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counters = plugins.iter().map(|plugin| {
            let workers = counters.entry(plugin.clone()).or_default();
            workers.entry(worker).or_default().clone()
        });
        InstanceStats(counters.collect())
    }
}

// === impl PluginSnapshot ===

impl PluginSnapshot {
    fn new(plugin: &str, workers: &BTreeMap<usize, Arc<Counters>>) -> Self {
        let sum = |counter: fn(&Counters) -> &AtomicU64| -> u64 {
            workers
                .values()
                .map(|it| counter(it).load(Ordering::Relaxed))
                .sum()
        };
        let memory = workers
            .iter()
            .map(|(worker, it)| (*worker, it.memory.load(Ordering::Relaxed)));
        Self {
            plugin: plugin.to_owned(),
            callbacks: sum(|it| &it.callbacks),
            time: Duration::from_nanos(sum(|it| &it.nanoseconds)),
            traps: sum(|it| &it.traps),
            restarts: sum(|it| &it.restarts),
            memory: memory.collect(),
        }
    }
}

// === impl InstanceStats ===

impl InstanceStats {
    /// Counts a callback that has returned or trapped.
    #[doc(hidden)]
    pub fn add_callback(&self, plugin: usize, time: Duration) {
        if let Some(counters) = self.0.get(plugin) {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            counters.callbacks.fetch_add(1, Ordering::Relaxed);
            counters
                .nanoseconds
                .fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// Counts a trap in a plugin's code.
    #[doc(hidden)]
    pub fn add_trap(&self, plugin: usize) {
        if let Some(counters) = self.0.get(plugin) {
            counters.traps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts that this instance has replaced one that had trapped. The trap of one plugin restarts all plugins of the instance.
    #[doc(hidden)]
    pub fn add_restart(&self) {
        for counters in &self.0 {
            counters.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the memory of this instance, which is empty.
    #[doc(hidden)]
    pub fn memory(&self) -> InstanceMemory {
        let mut plugins: Vec<Arc<Counters>> = Vec::new();
        for counters in &self.0 {
            // Plugins may have the same name, and then have the same counters.
            if !plugins.iter().any(|it| Arc::ptr_eq(it, counters)) {
                plugins.push(counters.clone());
            }
        }
        InstanceMemory { plugins, bytes: 0 }
    }
}

// === impl InstanceMemory ===

impl InstanceMemory {
    /// Counts memory by which the instance grows.
    #[doc(hidden)]
    pub fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        for counters in &self.plugins {
            counters.memory.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        for counters in &self.plugins {
            counters.memory.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn counters_are_summed_over_workers_and_instances() {
        let stats = PluginStats::default();
        for worker in [1, 0] {
            let instance = stats.instance(&names(&["a", "b"]), worker);
            instance.add_callback(0, Duration::from_nanos(3));
            instance.add_callback(1, Duration::from_nanos(5));
            instance.add_trap(0);
            // There is no such plugin.
            instance.add_callback(2, Duration::from_nanos(7));
            instance.add_trap(2);
        }
        let replacement = stats.instance(&names(&["a", "b"]), 1);
        replacement.add_restart();
        replacement.add_callback(0, Duration::from_nanos(3));
        let snapshot = |plugin: &str, callbacks, nanoseconds, traps| PluginSnapshot {
            plugin: plugin.to_owned(),
            callbacks,
            time: Duration::from_nanos(nanoseconds),
            traps,
            restarts: 1,
            memory: vec![(0, 0), (1, 0)],
        };
        assert_eq!(
            stats.all(),
            [snapshot("a", 3, 9, 2), snapshot("b", 2, 10, 0)]
        );
    }

    #[test]
    fn memory_is_counted_until_the_instance_is_dropped() {
        let stats = PluginStats::default();
        let memory = || -> Vec<_> { stats.all().into_iter().map(|it| it.memory).collect() };
        let mut old = stats.instance(&names(&["a", "b"]), 0).memory();
        old.add(10);
        old.add(20);
        assert_eq!(memory(), [[(0, 30)], [(0, 30)]]);
        let mut new = stats.instance(&names(&["b"]), 0).memory();
        new.add(4);
        assert_eq!(memory(), [[(0, 30)], [(0, 34)]]);
        drop(old);
        assert_eq!(memory(), [[(0, 0)], [(0, 4)]]);
        drop(new);
        assert_eq!(memory(), [[(0, 0)], [(0, 0)]]);
    }

    #[test]
    fn plugins_with_the_same_name_count_their_memory_once() {
        let stats = PluginStats::default();
        let mut shared = stats.instance(&names(&["a", "a"]), 0).memory();
        shared.add(10);
        assert_eq!(stats.all().len(), 1);
        assert_eq!(stats.all()[0].memory, [(0, 10)]);
    }
}
