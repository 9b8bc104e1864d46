//! Loads plugin binaries into a chain that serves streams.

use std::rc::Rc;
use std::sync::Arc;

use crate::attributes::Attributes;
use crate::clock::{Clock, SystemClock};
use crate::engine::{CodeCache, Compiled, Compiler};
use crate::logs::LogSink;
use crate::observe::Observer;
use crate::plugin::{EngineKind, PluginSpec};
use crate::shared_data::SharedData;
use crate::stream::Stream;
use crate::worker::{Loaded, LoadedModule, LoadedPlugin, Worker};

/// The state shared by all plugins: the compiler, the clock and the log.
pub struct Runtime {
    config: RuntimeConfig,
    code: Code,
}

/// Where compiled code comes from.
enum Code {
    Own(Compiler),
    Shared(Arc<CodeCache>),
}

/// The configuration of a [`Runtime`].
#[derive(Clone)]
pub struct RuntimeConfig {
    /// The clock that plugins see.
    pub clock: Arc<dyn Clock>,
    /// The destination of plugin log lines.
    pub logs: Arc<dyn LogSink>,
    /// The maximum number of bytes buffered for one half of a stream while a plugin pauses it. Envoy's default is 1
    /// MiB.
    pub buffer: usize,
    /// Data shared by the plugins of all workers.
    pub shared_data: Arc<SharedData>,
    /// Attributes that add to, or override, those that the host provides for a stream.
    pub attributes: Arc<Attributes>,
    /// Receives what plugins see and change. If `None`, nothing is measured.
    pub observer: Option<Arc<dyn Observer>>,
    /// A cache of code compiled by other runtimes. An observer that wants fuel needs a separate cache.
    pub code: Option<Arc<CodeCache>>,
}

/// Compiled plugins, in order.
#[derive(Clone)]
pub struct Chain {
    loaded: Arc<Loaded>,
}

/// The plugins of a chain, instantiated and configured for one worker thread.
#[derive(Clone)]
pub struct WorkerChain {
    worker: Rc<Worker>,
}

/// The error for plugins that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// wasmtime does not support this machine, or a thread could not be started.
    #[error("cannot run WebAssembly on this machine")]
    Runtime {
        /// The underlying error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes are not a WebAssembly binary.
    #[error(
        "plugin `{plugin}` is not a WebAssembly binary: expected a component or a Proxy-Wasm module"
    )]
    NotWasm {
        /// The name of the plugin.
        plugin: String,
    },
    /// The binary is not of the kind that the requested engine runs.
    #[error("plugin `{plugin}` is for engine `{found}`, but engine `{wanted}` was asked for{}", mend(*.wanted))]
    WrongEngine {
        /// The name of the plugin.
        plugin: String,
        /// The requested engine.
        wanted: EngineKind,
        /// The engine that can run the binary.
        found: EngineKind,
    },
    /// The binary is invalid, or it uses a feature that the engine does not support.
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile {
        /// The name of the plugin.
        plugin: String,
        /// The error reported by wasmtime.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The binary imports an item that this host does not provide.
    #[error("plugin `{plugin}` imports what this host does not have; build it for `{world}`")]
    Import {
        /// The name of the plugin.
        plugin: String,
        /// The world that this host provides.
        world: &'static str,
        /// The error that identifies the import.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A required export is missing.
    #[error("plugin `{plugin}` does not export `{export}`; build it for `{world}`")]
    MissingExport {
        /// The name of the plugin.
        plugin: String,
        /// The name of the export.
        export: String,
        /// The world that this host runs.
        world: &'static str,
    },
    /// An export has the expected name and an unexpected type.
    #[error(
        "plugin `{plugin}` exports `{export}` with a type that is not that of `{world}`: {reason}"
    )]
    WrongType {
        /// The name of the plugin.
        plugin: String,
        /// The name of the export.
        export: String,
        /// The world that this host runs.
        world: &'static str,
        /// The difference between the types.
        reason: String,
    },
    /// A Proxy-Wasm module does not declare a supported ABI version.
    #[error(
        "plugin `{plugin}` has no supported Proxy-Wasm ABI version: it must export one of \
         `proxy_abi_version_0_2_1`, `proxy_abi_version_0_2_0`, `proxy_abi_version_0_1_0`"
    )]
    UnknownAbi {
        /// The name of the plugin.
        plugin: String,
    },
}

impl LoadError {
    /// Returns the name of the plugin that cannot be loaded, or `None` if the error does not concern a single plugin.
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Runtime { .. } => None,
            Self::NotWasm { plugin }
            | Self::WrongEngine { plugin, .. }
            | Self::Compile { plugin, .. }
            | Self::Import { plugin, .. }
            | Self::MissingExport { plugin, .. }
            | Self::WrongType { plugin, .. }
            | Self::UnknownAbi { plugin } => Some(plugin),
        }
    }
}

/// The error for a chain that cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The plugin rejected its configuration.
    #[error("plugin `{plugin}` rejects its configuration: {reason}")]
    Refused {
        /// The name of the plugin.
        plugin: String,
        /// The plugin's error message: what is invalid, and where.
        reason: String,
    },
    /// The plugin's code failed during startup or configuration.
    #[error("plugin `{plugin}` failed to start: {message}")]
    Trapped {
        /// The name of the plugin.
        plugin: String,
        /// The error message.
        message: String,
    },
    /// A compiled module is not used by any plugin of the chain.
    #[error("a module of the chain belongs to no plugin")]
    Unused,
}

impl RuntimeConfig {
    /// Creates a configuration with the system clock, a buffer of 1 MiB, the given log sink, empty shared data, no
    /// attributes and no observer.
    pub fn new(logs: Arc<dyn LogSink>) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            logs,
            buffer: 1 << 20,
            shared_data: Arc::default(),
            attributes: Arc::default(),
            observer: None,
            code: None,
        }
    }
}

impl Runtime {
    /// Creates a runtime without plugins.
    pub fn new(config: RuntimeConfig) -> Result<Runtime, LoadError> {
        let fuel = config.observer.as_ref().is_some_and(|it| it.wants_fuel());
        let code = match &config.code {
            Some(shared) if !fuel => Code::Shared(shared.clone()),
            _ => Code::Own(Compiler::new(fuel).map_err(|source| LoadError::Runtime { source })?),
        };
        Ok(Runtime { config, code })
    }

    /// Compiles plugins. No plugin code runs yet.
    pub fn load(&self, plugins: &[PluginSpec]) -> Result<Chain, LoadError> {
        let mut loaded = Loaded {
            config: self.config.clone(),
            plugins: Vec::new(),
            modules: Vec::<LoadedModule>::new(),
        };
        for (index, spec) in plugins.iter().enumerate() {
            let engine = engine_for(spec)?;
            // As in Envoy 1.40: plugins that see another environment have an instance of their own.
            let same = |other: &LoadedPlugin| {
                other.engine == engine
                    && other.spec.module == spec.module
                    && other.spec.environment == spec.environment
                    && other.spec.seed == spec.seed
            };
            let (module, place) = match loaded
                .plugins
                .iter()
                .find(|it| same(it))
                .map(|it| it.module)
            {
                Some(module) => {
                    let place = loaded.modules.get_mut(module).map_or(0, |it| {
                        it.plugins.push(index);
                        it.plugins.len() - 1
                    });
                    (module, place)
                }
                None => {
                    let compiled = self.code.of(spec, engine)?;
                    loaded.modules.push(LoadedModule {
                        compiled,
                        plugins: vec![index],
                    });
                    (loaded.modules.len() - 1, 0)
                }
            };
            loaded.plugins.push(LoadedPlugin {
                spec: spec.clone(),
                engine,
                module,
                place,
            });
        }
        Ok(Chain {
            loaded: Arc::new(loaded),
        })
    }
}

impl Code {
    fn of(&self, spec: &PluginSpec, engine: EngineKind) -> Result<Arc<dyn Compiled>, LoadError> {
        match self {
            Self::Own(compiler) => compiler.compile(spec, engine),
            Self::Shared(cache) => cache.code(spec, engine),
        }
    }
}

impl Chain {
    /// Instantiates the plugins for one worker and configures them in order.
    pub fn start_worker(&self, worker: usize) -> Result<WorkerChain, StartError> {
        Ok(WorkerChain {
            worker: Rc::new(Worker::start(self.loaded.clone(), worker)?),
        })
    }

    #[cfg(test)]
    pub(crate) fn of(loaded: Loaded) -> Self {
        Self {
            loaded: Arc::new(loaded),
        }
    }
}

impl WorkerChain {
    /// Opens a stream. `wake` is called when the callback of another stream has changed this one;
    /// [`Stream::next_effect`] then returns an effect. `wake` must not call into the stream itself.
    pub fn open(&self, wake: Rc<dyn Fn()>) -> Stream {
        Stream::new(self.worker.clone(), wake)
    }
}

/// What runs a plugin: what was asked for, if that can.
fn engine_for(spec: &PluginSpec) -> Result<EngineKind, LoadError> {
    let plugin = || spec.name.clone();
    let found =
        EngineKind::detect(&spec.module).ok_or_else(|| LoadError::NotWasm { plugin: plugin() })?;
    match spec.engine {
        Some(wanted) if wanted != found => Err(LoadError::WrongEngine {
            plugin: plugin(),
            wanted,
            found,
        }),
        _ => Ok(found),
    }
}

fn mend(wanted: EngineKind) -> &'static str {
    match wanted {
        EngineKind::Component => "; a Proxy-Wasm module runs on no other",
        EngineKind::ProxyWasm => "; adapt the component first",
    }
}
