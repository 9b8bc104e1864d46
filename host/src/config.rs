//! The configuration of a runtime.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_semantics::instances::ChainConfig;
use tidegate_semantics::logs::LogSink;

use crate::clock::SystemClock;
use crate::engine::CodeCache;

/// The configuration of a [`Runtime`](crate::Runtime).
#[derive(Clone)]
pub struct RuntimeConfig {
    /// What the plugins share.
    pub chain: ChainConfig,
    /// A cache of code compiled by other runtimes. An observer that wants fuel needs a separate cache.
    pub code: Option<Arc<CodeCache>>,
    /// A directory in which compiled code is kept for later runs. It is created if necessary, and limits its own size. The code in it is
    /// trusted: a user who can write to the directory can execute code in this process. Not used if code comes from `code`.
    pub code_cache_dir: Option<PathBuf>,
}

// === impl RuntimeConfig ===

impl RuntimeConfig {
    /// Creates a configuration with the system clock, the given log sink and the defaults of [`ChainConfig::new`], without a cache of
    /// compiled code.
    pub fn new(logs: Arc<dyn LogSink>) -> Self {
        ChainConfig::new(Arc::new(SystemClock), logs).into()
    }
}

/// Without a cache of compiled code.
impl From<ChainConfig> for RuntimeConfig {
    fn from(chain: ChainConfig) -> Self {
        Self {
            chain,
            code: None,
            code_cache_dir: None,
        }
    }
}
