//! The configuration of a runtime.

use std::path::PathBuf;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::clock::{Clock, SystemClock};
use crate::clusters::Clusters;
use crate::engine::CodeCache;
use crate::logs::LogSink;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::plugin_stats::PluginStats;
use crate::shared_data::SharedData;
use crate::shared_queues::SharedQueues;

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
}
