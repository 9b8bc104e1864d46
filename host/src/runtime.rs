//! Loads plugin binaries into a chain that serves streams.

use std::rc::Rc;
use std::sync::Arc;

use tidegate_semantics::instances::{ChainInstances, LoadedChain, LoadedModule, LoadedPlugin};
use tidegate_semantics::plugin::{EngineKind, PluginSpec};
use tidegate_semantics::port::{NoPort, Port};
use tidegate_semantics::stream::Stream;

use crate::config::RuntimeConfig;
use crate::engine::{CodeCache, CodeCacheStats, Compiled, Compiler};
use crate::error::{LoadError, StartError};

/// The state shared by all plugins: the compiler, the clock and the log.
pub struct Runtime {
    config: RuntimeConfig,
    code: CodeSource,
}

/// The source of compiled code.
enum CodeSource {
    Own(Compiler),
    Shared(Arc<CodeCache>),
}

/// The compiled plugins of a chain, in order.
#[derive(Clone)]
pub struct Chain {
    loaded: Arc<LoadedChain>,
}

/// The plugins of a chain, instantiated and configured for one worker thread.
#[derive(Clone)]
pub struct WorkerChain {
    instances: Rc<ChainInstances>,
}

impl Runtime {
    /// Creates a runtime without plugins.
    pub fn new(config: RuntimeConfig) -> Result<Runtime, LoadError> {
        let fuel = config
            .chain
            .observer
            .as_ref()
            .is_some_and(|it| it.wants_fuel());
        let code = match &config.code {
            Some(shared) if !fuel => CodeSource::Shared(shared.clone()),
            _ => CodeSource::Own(
                Compiler::new(fuel, config.code_cache_dir.as_deref())
                    .map_err(|source| LoadError::Runtime { source })?,
            ),
        };
        Ok(Runtime { config, code })
    }

    /// Returns how the [directory of compiled code](RuntimeConfig::code_cache_dir) was used, if there is one.
    pub fn code_cache_stats(&self) -> Option<CodeCacheStats> {
        match &self.code {
            CodeSource::Own(compiler) => compiler.disk_stats(),
            CodeSource::Shared(cache) => cache.disk_stats(),
        }
    }

    /// Compiles plugins. No plugin code runs yet.
    pub fn load(&self, plugins: &[PluginSpec]) -> Result<Chain, LoadError> {
        let mut loaded = LoadedChain {
            config: self.config.chain.clone(),
            plugins: Vec::new(),
            modules: Vec::<LoadedModule>::new(),
        };
        for (index, spec) in plugins.iter().enumerate() {
            let engine = select_engine(spec)?;
            // As in Envoy 1.40, plugins with different environments or VM configurations do not share an instance.
            let shares_instance = |other: &LoadedPlugin| {
                other.engine == engine
                    && other.spec.module == spec.module
                    && other.spec.environment == spec.environment
                    && other.spec.vm_configuration == spec.vm_configuration
                    && other.spec.seed == spec.seed
            };
            let (module, index_in_module) = match loaded
                .plugins
                .iter()
                .find(|it| shares_instance(it))
                .map(|it| it.module)
            {
                Some(module) => {
                    let index_in_module = loaded.modules.get_mut(module).map_or(0, |it| {
                        it.plugins.push(index);
                        it.plugins.len() - 1
                    });
                    (module, index_in_module)
                }
                None => {
                    let compiled = self.code.compile(spec, engine)?;
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
                index_in_module,
            });
        }
        Ok(Chain {
            loaded: Arc::new(loaded),
        })
    }
}

impl CodeSource {
    fn compile(
        &self,
        spec: &PluginSpec,
        engine: EngineKind,
    ) -> Result<Arc<dyn Compiled>, LoadError> {
        match self {
            Self::Own(compiler) => compiler.compile(spec, engine),
            Self::Shared(cache) => cache.code(spec, engine),
        }
    }
}

impl Chain {
    /// Instantiates the plugins for one worker and configures them in order.
    ///
    /// Without a [`Server`](crate::Server), HTTP calls of plugins are never answered, and their timers never fire.
    pub fn start_worker(&self, worker: usize) -> Result<WorkerChain, StartError> {
        self.start_worker_with(worker, Rc::new(NoPort::default()))
    }

    /// Like [`start_worker`](Self::start_worker), with the port through which plugins send HTTP calls and set timers.
    pub(crate) fn start_worker_with(
        &self,
        worker: usize,
        port: Rc<dyn Port>,
    ) -> Result<WorkerChain, StartError> {
        Ok(WorkerChain {
            instances: Rc::new(ChainInstances::start(self.loaded.clone(), worker, port)?),
        })
    }
}

impl WorkerChain {
    /// Opens a stream. `wake` is called when a callback of another stream has affected this one, by a hostcall or a
    /// trap; [`Stream::next_effect`] must then be called. `wake` must not call into the stream itself.
    pub fn open(&self, wake: Rc<dyn Fn()>) -> Stream {
        Stream::new(self.instances.clone(), wake)
    }

    /// Drops a chain that has not been used. Its plugins are told that they end, but the proxy does not wait for them.
    pub(crate) fn discard(self) {
        self.instances.discard();
    }
}

/// Returns the engine for a plugin. Fails if the requested engine cannot run the binary.
fn select_engine(spec: &PluginSpec) -> Result<EngineKind, LoadError> {
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
