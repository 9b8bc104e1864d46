//! The configuration of a runtime.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_semantics::attributes::Attributes;
use tidegate_semantics::clusters::Clusters;
use tidegate_semantics::instances::ChainConfig;
use tidegate_semantics::logs::LogSink;
use tidegate_semantics::metrics::Metrics;
use tidegate_semantics::observe::Observer;
use tidegate_semantics::plugin_stats::PluginStats;
use tidegate_semantics::shared_data::SharedData;
use tidegate_semantics::shared_queues::SharedQueues;

use crate::clock::{Clock, PluginClock, SystemClock};
use crate::engine::CodeCache;

/// The configuration of a [`Runtime`](crate::Runtime).
#[derive(Clone)]
pub struct RuntimeConfig {
    /// The clock that plugins see.
    pub clock: Arc<dyn Clock>,
    /// The destination of plugin log lines.
    pub logs: Arc<dyn LogSink>,
    /// The maximum number of bytes buffered for one direction of a stream while a plugin pauses it. Envoy's default is
    /// 1 MiB.
    pub buffer: usize,
    /// Data shared by the plugins of all workers.
    pub shared_data: Arc<SharedData>,
    /// Queues shared by the plugins of all workers.
    pub queues: Arc<SharedQueues>,
    /// Metrics that plugins define.
    pub metrics: Arc<Metrics>,
    /// Statistics of the plugins. If `None`, nothing is measured.
    pub stats: Option<Arc<PluginStats>>,
    /// The clusters that plugins can send HTTP calls to.
    pub clusters: Arc<Clusters>,
    /// Attributes that add to, or override, those that the host provides for a stream.
    pub attributes: Arc<Attributes>,
    /// Receives what plugins see and change. If `None`, nothing is measured.
    pub observer: Option<Arc<dyn Observer>>,
    /// A cache of code compiled by other runtimes. An observer that wants fuel needs a separate cache.
    pub code: Option<Arc<CodeCache>>,
    /// A directory in which compiled code is kept for later runs. It is created if necessary, and limits its own size. The code in it is
    /// trusted: a user who can write to the directory can execute code in this process. Not used if code comes from `code`.
    pub code_cache_dir: Option<PathBuf>,
}

// === impl RuntimeConfig ===

impl RuntimeConfig {
    /// Creates a configuration with the system clock, a buffer of 1 MiB, the given log sink, empty shared data, no
    /// statistics, no clusters, no attributes and no observer.
    pub fn new(logs: Arc<dyn LogSink>) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            logs,
            buffer: 1 << 20,
            shared_data: Arc::default(),
            queues: Arc::default(),
            metrics: Arc::default(),
            stats: None,
            clusters: Arc::default(),
            attributes: Arc::default(),
            observer: None,
            code: None,
            code_cache_dir: None,
        }
    }
    /// Returns what the plugins of a chain share.
    pub(crate) fn chain(&self) -> ChainConfig {
        ChainConfig {
            clock: Arc::new(PluginClock(self.clock.clone())),
            logs: self.logs.clone(),
            buffer: self.buffer,
            shared_data: self.shared_data.clone(),
            queues: self.queues.clone(),
            metrics: self.metrics.clone(),
            stats: self.stats.clone(),
            clusters: self.clusters.clone(),
            attributes: self.attributes.clone(),
            observer: self.observer.clone(),
        }
    }
}
