//! From plugins' bytes to a chain that serves streams.

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

/// What all plugins share: the compiler, the clock, the log.
pub struct Runtime {
    config: RuntimeConfig,
    code: Code,
}

/// Where compiled code comes from.
enum Code {
    Own(Compiler),
    Shared(Arc<CodeCache>),
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
    /// What plugins of all workers share.
    pub shared_data: Arc<SharedData>,
    /// What plugins are told of a stream where this host knows nothing of it, or something else.
    pub attributes: Arc<Attributes>,
    /// Who is told what plugins see and change. Without one, nothing is measured.
    pub observer: Option<Arc<dyn Observer>>,
    /// Where code is that others compiled. An observer that wants fuel needs code of its own.
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

/// Why plugins cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// wasmtime cannot run on this machine, or no thread could be started.
    #[error("cannot run WebAssembly on this machine")]
    Runtime {
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes are no WebAssembly at all.
    #[error(
        "plugin `{plugin}` is not a WebAssembly binary: expected a component or a Proxy-Wasm module"
    )]
    NotWasm {
        /// The plugin's name.
        plugin: String,
    },
    /// The engine that was asked for runs the other kind of binary.
    #[error("plugin `{plugin}` is for engine `{found}`, but engine `{wanted}` was asked for{}", mend(*.wanted))]
    WrongEngine {
        /// The plugin's name.
        plugin: String,
        /// What was asked for.
        wanted: EngineKind,
        /// What can run it.
        found: EngineKind,
    },
    /// The binary is not valid, or uses what the engine does not have.
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile {
        /// The plugin's name.
        plugin: String,
        /// What wasmtime says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The binary imports what this host does not have.
    #[error("plugin `{plugin}` imports what this host does not have; build it for `{world}`")]
    Import {
        /// The plugin's name.
        plugin: String,
        /// What this host offers.
        world: &'static str,
        /// Which import it is.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An export that every plugin has is not there.
    #[error("plugin `{plugin}` does not export `{export}`; build it for `{world}`")]
    MissingExport {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// What this host runs.
        world: &'static str,
    },
    /// An export has the right name and another type.
    #[error(
        "plugin `{plugin}` exports `{export}` with a type that is not that of `{world}`: {reason}"
    )]
    WrongType {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// What this host runs.
        world: &'static str,
        /// In what they differ.
        reason: String,
    },
    /// A Proxy-Wasm module that does not say which ABI it is for.
    #[error(
        "plugin `{plugin}` has no supported Proxy-Wasm ABI version: it must export one of \
         `proxy_abi_version_0_2_1`, `proxy_abi_version_0_2_0`, `proxy_abi_version_0_1_0`"
    )]
    UnknownAbi {
        /// The plugin's name.
        plugin: String,
    },
}

impl LoadError {
    /// The name of the plugin that cannot be loaded; none if it is not about one.
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

/// Why a chain cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The plugin refused its configuration.
    #[error("plugin `{plugin}` refuses its configuration: {reason}")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// What it says is wrong, and where.
        reason: String,
    },
    /// The plugin's code failed while it was started or configured.
    #[error("plugin `{plugin}` failed to start: {message}")]
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// How it failed.
        message: String,
    },
    /// A compiled module that no plugin of the chain uses.
    #[error("a module of the chain belongs to no plugin")]
    Unused,
}

impl RuntimeConfig {
    /// The machine's clock, 1 MiB of buffer, this sink, nothing shared, no attributes, and no observer.
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
    /// A runtime without plugins.
    pub fn new(config: RuntimeConfig) -> Result<Runtime, LoadError> {
        let fuel = config.observer.as_ref().is_some_and(|it| it.wants_fuel());
        let code = match &config.code {
            Some(shared) if !fuel => Code::Shared(shared.clone()),
            _ => Code::Own(Compiler::new(fuel).map_err(|source| LoadError::Runtime { source })?),
        };
        Ok(Runtime { config, code })
    }

    /// Compiles plugins. Nothing of theirs runs yet.
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
    /// Instantiates the plugins for one worker, and configures them in order.
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
    /// Opens a stream. `wake` is called when another stream's callback has changed this one: [`Stream::next_effect`] has
    /// something then. It must not call into the stream itself.
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
