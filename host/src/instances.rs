//! One worker's instances of a chain's plugins, and their renewal.
//!
//! State that plugins keep lives here, in their instances, as in Envoy: each worker has its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::RuntimeConfig;
use crate::context::{Contexts, Services};
use crate::engine::{Compiled, Trap};
use crate::error::StartError;
use crate::logs::Level;
use crate::observe::{LineRecorder, Observer};
use crate::plugin::{EngineKind, FailurePolicy, PluginSpec};
use crate::random::Random;
use crate::vm::Vm;
use crate::vocabulary::Phase;

/// The plugins of a chain, compiled: what all workers share.
pub(crate) struct Loaded {
    pub(crate) config: RuntimeConfig,
    pub(crate) plugins: Vec<LoadedPlugin>,
    pub(crate) modules: Vec<LoadedModule>,
}

/// One plugin of the chain, and where its code is.
pub(crate) struct LoadedPlugin {
    pub(crate) spec: PluginSpec,
    pub(crate) engine: EngineKind,
    /// Index in [`Loaded::modules`].
    pub(crate) module: usize,
    /// Index among the plugins of that module.
    pub(crate) number_in_module: usize,
}

/// Compiled code, and whose it is.
pub(crate) struct LoadedModule {
    pub(crate) compiled: Arc<dyn Compiled>,
    /// Indices in [`Loaded::plugins`], in order.
    pub(crate) plugins: Vec<usize>,
}

/// The instances of one worker.
pub(crate) struct ChainInstances {
    number: usize,
    loaded: Arc<Loaded>,
    instances: Vec<Renewable>,
    /// The plugins that stay as their failed instance left them.
    lost: Vec<Cell<bool>>,
    logs: bool,
}

/// An instance that can be replaced by a fresh one.
struct Renewable {
    vm: RefCell<Rc<Vm>>,
    /// When a renewal that failed may be tried again.
    retry: Cell<Option<Instant>>,
}

/// How long to wait after a fresh instance could not be started. Envoy's is about the same.
const RETRY: Duration = Duration::from_secs(1);

impl ChainInstances {
    /// Instantiates all modules, and configures all plugins in order.
    pub(crate) fn start(loaded: Arc<Loaded>, number: usize) -> Result<Self, StartError> {
        let mut instances = Vec::with_capacity(loaded.modules.len());
        for module in &loaded.modules {
            let vm = RefCell::new(Rc::new(start(&loaded, module, number)?));
            instances.push(Renewable {
                vm,
                retry: Cell::new(None),
            });
        }
        let lost = loaded.plugins.iter().map(|_| Cell::new(false)).collect();
        let logs = loaded
            .modules
            .iter()
            .any(|it| it.compiled.callbacks().has(Phase::Log));
        Ok(Self {
            number,
            loaded,
            instances,
            lost,
            logs,
        })
    }

    pub(crate) fn plugin_count(&self) -> usize {
        self.loaded.plugins.len()
    }

    /// Whether any plugin has a log callback.
    pub(crate) fn logs(&self) -> bool {
        self.logs
    }

    /// Bytes of one half of a stream that are kept while it is paused.
    pub(crate) fn buffer(&self) -> usize {
        self.loaded.config.buffer
    }

    /// Its place among the workers.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Who is told of streams.
    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.loaded.config.observer.as_ref()
    }

    pub(crate) fn failure_policy(&self, plugin: usize) -> FailurePolicy {
        self.loaded
            .plugins
            .get(plugin)
            .map_or(FailurePolicy::Closed, |it| it.spec.failure_policy)
    }

    /// The instance for a new stream, and the plugin's number there. None if the plugin has failed and stays so, or cannot be
    /// started again yet.
    pub(crate) fn instance(&self, plugin: usize) -> Option<(Rc<Vm>, usize)> {
        let LoadedPlugin {
            module,
            number_in_module,
            ..
        } = self.loaded.plugins.get(plugin)?;
        let renewable = self.instances.get(*module)?;
        if self.lost.get(plugin)?.get() {
            return None;
        }
        let vm = renewable.vm.borrow().clone();
        if !vm.is_dead() {
            return Some((vm, *number_in_module));
        }
        let module = self.loaded.modules.get(*module)?;
        for &other in &module.plugins {
            if self.failure_policy(other) != FailurePolicy::Reload
                && let Some(lost) = self.lost.get(other)
            {
                lost.set(true);
            }
        }
        if self.failure_policy(plugin) != FailurePolicy::Reload {
            return None;
        }
        if renewable.retry.get().is_some_and(|at| Instant::now() < at) {
            return None;
        }
        match start(&self.loaded, module, self.number) {
            Ok(fresh) => {
                let fresh = Rc::new(fresh);
                renewable.vm.replace(fresh.clone());
                renewable.retry.set(None);
                Some((fresh, *number_in_module))
            }
            Err(error) => {
                renewable.retry.set(Instant::now().checked_add(RETRY));
                vm.services().log(
                    *number_in_module,
                    Level::Critical,
                    &format!("cannot be started again: {error}"),
                );
                None
            }
        }
    }
}

/// Makes an instance and configures its plugins, in order.
fn start(loaded: &Loaded, module: &LoadedModule, worker: usize) -> Result<Vm, StartError> {
    let plugins: Vec<&LoadedPlugin> = module
        .plugins
        .iter()
        .filter_map(|&plugin| loaded.plugins.get(plugin))
        .collect();
    let Some(LoadedPlugin {
        spec: first,
        engine,
        ..
    }) = plugins.first()
    else {
        return Err(StartError::Unused);
    };
    let names = plugins.iter().map(|it| it.spec.name.clone()).collect();
    let config = &loaded.config;
    // What differs between plugins of one instance, the first decides for all.
    let services = Services {
        worker,
        clock: config.clock.clone(),
        logs: config.logs.clone(),
        limits: first.limits,
        environment: first.environment.clone(),
        random: Random::new(first.seed),
        shared_data: config.shared_data.clone(),
        attributes: config.attributes.clone(),
        plugins: names,
        recorder: config.observer.as_ref().map(|_| LineRecorder::default()),
        contexts: Contexts::default(),
    };
    let vm =
        Vm::start(&*module.compiled, services).map_err(|Trap { message }| StartError::Trapped {
            plugin: first.name.clone(),
            message,
        })?;
    for (number_in_module, LoadedPlugin { spec, .. }) in plugins.iter().enumerate() {
        let context = vm.services().contexts.add(number_in_module, None);
        // A trap is logged where it happens; the error says that it did.
        match vm.enter(number_in_module, |instance| {
            instance.configure(&context, &spec.configuration)
        }) {
            Some(Ok(())) => {}
            Some(Err(reason)) => {
                // It never began, so it does not end.
                vm.services().contexts.remove(context.id);
                // The contract has the proxy log it; a Proxy-Wasm module has done so itself.
                if *engine == EngineKind::Component {
                    let line = format!("configuration refused: {reason}");
                    vm.services().log(number_in_module, Level::Error, &line);
                }
                return Err(StartError::Refused {
                    plugin: spec.name.clone(),
                    reason,
                });
            }
            None => {
                let message = "it trapped while it was configured; its log says where".to_owned();
                return Err(StartError::Trapped {
                    plugin: spec.name.clone(),
                    message,
                });
            }
        }
    }
    Ok(vm)
}
