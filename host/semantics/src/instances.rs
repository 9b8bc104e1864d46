//! The instances of a chain's plugins on one worker, and their replacement after a trap.
//!
//! As in Envoy, plugins keep their state in their instances, so each worker has its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::clusters::Clusters;
use crate::context::{Contexts, Ending, Services};
use crate::engine::{Compiled, Instance, Trap};
use crate::error::StartError;
use crate::logs::{Level, LogLine, LogSink};
use crate::metrics::{DefinedMetrics, Metrics};
use crate::observe::{LineRecorder, Observer, PluginOccasion};
use crate::plugin::{EngineKind, FailurePolicy, PluginSpec};
use crate::plugin_stats::PluginStats;
use crate::port::{Outbox, Port};
use crate::random::Random;
use crate::shared_data::SharedData;
use crate::shared_queues::SharedQueues;
use crate::state::CallCounter;
use crate::vm::{QueueEvents, VmHandle};
use crate::vocabulary::Phase;

/// What the plugins of a chain share, on all workers.
#[derive(Clone)]
pub struct ChainConfig {
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
    /// Statistics of the plugins. If `None`, nothing is counted.
    pub stats: Option<Arc<PluginStats>>,
    /// The clusters that plugins can send HTTP calls to.
    pub clusters: Arc<Clusters>,
    /// Attributes that add to, or override, those that the host provides for a stream.
    pub attributes: Arc<Attributes>,
    /// Receives what plugins see and change. If `None`, nothing is measured.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The compiled plugins of a chain, shared by all workers.
pub struct LoadedChain {
    pub config: ChainConfig,
    pub plugins: Vec<LoadedPlugin>,
    pub modules: Vec<LoadedModule>,
}

/// One plugin of the chain, and the location of its code.
pub struct LoadedPlugin {
    pub spec: PluginSpec,
    pub engine: EngineKind,
    /// Index in [`LoadedChain::modules`].
    pub module: usize,
    /// Index among the plugins of that module.
    pub index_in_module: usize,
}

/// Compiled code, and the plugins that it belongs to.
pub struct LoadedModule {
    pub compiled: Arc<dyn Compiled>,
    /// Indices in [`LoadedChain::plugins`], in order.
    pub plugins: Vec<usize>,
}

/// The instances of one worker.
pub struct ChainInstances {
    worker: usize,
    loaded: Arc<LoadedChain>,
    port: Rc<dyn Port>,
    instances: Vec<Renewable>,
    /// Whether each plugin has failed permanently, because its failure policy does not replace the instance.
    permanently_failed: Vec<Cell<bool>>,
    has_log_callback: bool,
}

/// An instance that can be replaced by a new one.
struct Renewable {
    vm: RefCell<Rc<VmHandle>>,
    /// The earliest time to retry after a failed replacement.
    retry_at: Cell<Option<Instant>>,
}

/// The delay after a new instance could not be started. Envoy's is about the same.
const RETRY_DELAY: Duration = Duration::from_secs(1);

// === impl ChainConfig ===

impl ChainConfig {
    /// Creates a configuration with the given clock and log sink, a buffer of 1 MiB, empty shared data, no statistics, no clusters, no
    /// attributes and no observer.
    pub fn new(clock: Arc<dyn Clock>, logs: Arc<dyn LogSink>) -> Self {
        Self {
            clock,
            logs,
            buffer: 1 << 20,
            shared_data: Arc::default(),
            queues: Arc::default(),
            metrics: Arc::default(),
            stats: None,
            clusters: Arc::default(),
            attributes: Arc::default(),
            observer: None,
        }
    }
}

// === impl ChainInstances ===

impl ChainInstances {
    /// Instantiates all modules, and configures all plugins in order.
    pub fn start(
        loaded: Arc<LoadedChain>,
        worker: usize,
        port: Rc<dyn Port>,
    ) -> Result<Self, StartError> {
        let mut instances = Vec::with_capacity(loaded.modules.len());
        for module in &loaded.modules {
            let vm = RefCell::new(start_instance(&loaded, module, worker, &port)?);
            instances.push(Renewable {
                vm,
                retry_at: Cell::new(None),
            });
        }
        let permanently_failed = loaded.plugins.iter().map(|_| Cell::new(false)).collect();
        let has_log_callback = loaded
            .modules
            .iter()
            .any(|it| it.compiled.callbacks().has(Phase::Log));
        let this = Self {
            worker,
            loaded,
            port,
            instances,
            permanently_failed,
            has_log_callback,
        };
        this.set_in_service(true);
        Ok(this)
    }

    /// Ends instances that have never served a stream, without waiting for plugins that are not done.
    pub fn discard(&self) {
        self.set_in_service(false);
    }

    fn set_in_service(&self, in_service: bool) {
        for renewable in &self.instances {
            renewable.vm.borrow().set_in_service(in_service);
        }
    }

    pub fn plugin_count(&self) -> usize {
        self.loaded.plugins.len()
    }

    /// Returns whether any plugin has a log callback.
    pub fn has_log_callback(&self) -> bool {
        self.has_log_callback
    }

    /// Returns the maximum number of bytes buffered for one direction of a paused stream.
    pub fn buffer_limit(&self) -> usize {
        self.loaded.config.buffer
    }

    /// Logs a mistake of a plugin. It is not known which plugin of the chain made it.
    pub fn report_mistake(&self, message: &str) {
        let names = self.loaded.plugins.iter();
        let names: Vec<_> = names.map(|plugin| plugin.spec.name.as_str()).collect();
        self.loaded.config.logs.mistake(&LogLine {
            plugin: &names.join(", "),
            worker: self.worker,
            level: Level::Error,
            message,
        });
    }

    /// Returns the clock that plugins see.
    pub fn clock(&self) -> &dyn Clock {
        &*self.loaded.config.clock
    }

    /// Returns the number of the worker.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Returns the counter of the calls to the worker's guests.
    pub fn calls(&self) -> Rc<CallCounter> {
        self.port.state().calls.clone()
    }

    /// Returns the observer of streams, if there is one.
    pub fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.loaded.config.observer.as_ref()
    }

    pub fn failure_policy(&self, plugin: usize) -> FailurePolicy {
        self.loaded
            .plugins
            .get(plugin)
            .map_or(FailurePolicy::Closed, |it| it.spec.failure_policy)
    }

    /// Returns the instance for a new stream, and the number of the plugin in it. Returns `None` if the plugin has
    /// failed permanently, or cannot be restarted yet.
    pub fn instance(&self, plugin: usize) -> Option<(Rc<VmHandle>, usize)> {
        let LoadedPlugin {
            module,
            index_in_module,
            ..
        } = self.loaded.plugins.get(plugin)?;
        let renewable = self.instances.get(*module)?;
        if self.permanently_failed.get(plugin)?.get() {
            return None;
        }
        let vm = renewable.vm.borrow().clone();
        if !vm.is_dead() {
            return Some((vm, *index_in_module));
        }
        let module = self.loaded.modules.get(*module)?;
        for &other in &module.plugins {
            if self.failure_policy(other) != FailurePolicy::Reload
                && let Some(permanently_failed) = self.permanently_failed.get(other)
            {
                permanently_failed.set(true);
            }
        }
        if self.failure_policy(plugin) != FailurePolicy::Reload {
            return None;
        }
        if renewable
            .retry_at
            .get()
            .is_some_and(|at| Instant::now() < at)
        {
            return None;
        }
        match start_instance(&self.loaded, module, self.worker, &self.port) {
            Ok(fresh) => {
                fresh.set_in_service(true);
                if let Some(stats) = &fresh.services().stats {
                    stats.add_restart();
                }
                renewable.vm.replace(fresh.clone());
                renewable.retry_at.set(None);
                Some((fresh, *index_in_module))
            }
            Err(error) => {
                renewable
                    .retry_at
                    .set(Instant::now().checked_add(RETRY_DELAY));
                vm.services().log(
                    *index_in_module,
                    Level::Critical,
                    &format!("cannot be started again: {error}"),
                );
                None
            }
        }
    }
}

/// Creates an instance and configures its plugins, in order.
fn start_instance(
    loaded: &LoadedChain,
    module: &LoadedModule,
    worker: usize,
    port: &Rc<dyn Port>,
) -> Result<Rc<VmHandle>, StartError> {
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
    let names: Vec<String> = plugins.iter().map(|it| it.spec.name.clone()).collect();
    let config = &loaded.config;
    let queue_events = QueueEvents::new(&**port);
    // Where the plugins of an instance differ, the settings of the first one apply.
    let services = Services {
        worker,
        clock: config.clock.clone(),
        logs: config.logs.clone(),
        limits: first.limits,
        environment: first.environment.clone(),
        vm_configuration: first.vm_configuration.clone().into(),
        random: Random::new(first.seed),
        shared_data: config.shared_data.clone(),
        queues: config.queues.clone(),
        queue_events: queue_events.listener.clone(),
        registrations: RefCell::default(),
        metrics: config.metrics.clone(),
        defined: DefinedMetrics::default(),
        stats: config.stats.as_ref().map(|it| it.instance(&names, worker)),
        clusters: config.clusters.clone(),
        outbox: Outbox::default(),
        in_event: Cell::new(false),
        attributes: config.attributes.clone(),
        plugins: names,
        observer: config.observer.clone(),
        recorder: config.observer.as_ref().map(|_| LineRecorder::default()),
        contexts: Contexts::default(),
        ending: Ending::default(),
    };
    let vm = VmHandle::start(&*module.compiled, services, port.clone(), queue_events).map_err(
        |Trap { message }| StartError::Trapped {
            plugin: first.name.clone(),
            message,
        },
    )?;
    for (index_in_module, LoadedPlugin { spec, .. }) in plugins.iter().enumerate() {
        let context = vm.services().contexts.add(index_in_module, None);
        let configure = |instance: &mut dyn Instance| {
            let result = instance.configure(&context, &spec.configuration)?;
            // By the contract, the proxy logs the reason. A Proxy-Wasm module has logged it itself.
            if let Err(reason) = &result
                && *engine == EngineKind::Component
            {
                let line = format!("configuration refused: {reason}");
                vm.services().log(index_in_module, Level::Error, &line);
            }
            Ok::<_, Trap>(result)
        };
        // `Vm::enter` logs the trap. The error only reports that it occurred.
        match vm.enter_for_plugin(index_in_module, PluginOccasion::Start, configure) {
            Some(Ok(())) => {}
            Some(Err(reason)) => {
                // A plugin that was not created must not be ended.
                vm.forget_plugin(&context);
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
