//! The instances of a chain's plugins on one worker, and their replacement after a trap.
//!
//! As in Envoy, plugins keep their state in their instances, so each worker has its own.
//!
//! A new instance replaces one that has trapped, at the earliest `PluginSpec::restart_interval` after the last start. Requests that
//! come earlier fail, so that a plugin that always traps does not keep the worker busy with starting it. A stream that fails
//! schedules the start, which then delays no request in particular. As in Envoy, nothing starts without a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::Attributes;
use crate::clock::{Clock, after};
use crate::clusters::Clusters;
use crate::context::{Contexts, Ending, Services};
use crate::engine::{Compiled, Instance, Trap};
use crate::error::StartError;
use crate::logs::{Level, LogLine, LogSink};
use crate::metrics::{DefinedMetrics, Metrics};
use crate::observe::{LineRecorder, Observer, PluginOccasion};
use crate::plugin::{EngineKind, FailurePolicy, PluginSpec};
use crate::plugin_stats::PluginStats;
use crate::port::{Outbox, Pending, Port};
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
    /// The earliest time of [`Clock::monotonic`] for the next start.
    restart_at: Cell<u64>,
    /// The start that is scheduled.
    restart: RefCell<Option<Pending>>,
}

/// The minimum delay after a new instance could not be started, even if the plugin's interval is shorter.
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
                restart_at: Cell::new(next_start(&loaded, module, Duration::ZERO)),
                restart: RefCell::default(),
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
        let live = || {
            let vm = renewable.vm.borrow();
            (!vm.is_dead()).then(|| (vm.clone(), *index_in_module))
        };
        live().or_else(|| {
            // The start is due, but the event loop has not come to it, or the trap was not in a stream.
            if self.restart_time(plugin)? <= self.clock().monotonic() {
                self.restart(plugin);
            }
            live()
        })
    }

    /// Schedules the start of a new instance after a stream has failed because of a plugin, unless the plugin is not
    /// restarted at all.
    pub fn schedule_restart(self: &Rc<Self>, plugin: usize) {
        let Some(renewable) = self.renewable(plugin) else {
            return;
        };
        if renewable.restart.borrow().is_some() {
            return;
        }
        let Some(at) = self.restart_time(plugin) else {
            return;
        };
        // A chain that has been replaced, and has no streams any more, needs no new instances.
        let this = Rc::downgrade(self);
        let fire = move || {
            if let Some(this) = this.upgrade() {
                this.restart(plugin);
            }
        };
        let pending = self.port.schedule(at, Box::new(fire));
        renewable.restart.replace(Some(pending));
    }

    fn renewable(&self, plugin: usize) -> Option<&Renewable> {
        self.instances.get(self.loaded.plugins.get(plugin)?.module)
    }

    /// Returns the earliest time to start a new instance. Returns `None` if the instance is alive, or if the plugin's
    /// failure policy does not replace it.
    fn restart_time(&self, plugin: usize) -> Option<u64> {
        let LoadedPlugin { spec, module, .. } = self.loaded.plugins.get(plugin)?;
        let renewable = self.instances.get(*module)?;
        if !renewable.vm.borrow().is_dead() {
            return None;
        }
        for &other in &self.loaded.modules.get(*module)?.plugins {
            if self.failure_policy(other) != FailurePolicy::Reload
                && let Some(permanently_failed) = self.permanently_failed.get(other)
            {
                permanently_failed.set(true);
            }
        }
        (spec.failure_policy == FailurePolicy::Reload).then(|| renewable.restart_at.get())
    }

    /// Replaces the instance of a plugin. If the new one cannot be started, the old one stays.
    fn restart(&self, plugin: usize) {
        let Some(LoadedPlugin {
            module,
            index_in_module,
            ..
        }) = self.loaded.plugins.get(plugin)
        else {
            return;
        };
        let (Some(renewable), Some(module)) = (
            self.instances.get(*module),
            self.loaded.modules.get(*module),
        ) else {
            return;
        };
        renewable.restart.take();
        let started = start_instance(&self.loaded, module, self.worker, &self.port);
        let delay = match started {
            Ok(_) => Duration::ZERO,
            Err(_) => RETRY_DELAY,
        };
        let restart_at = next_start(&self.loaded, module, delay);
        renewable.restart_at.set(restart_at);
        match started {
            Ok(fresh) => {
                fresh.set_in_service(true);
                if let Some(stats) = &fresh.services().stats {
                    stats.add_restart();
                }
                renewable.vm.replace(fresh);
            }
            Err(error) => renewable.vm.borrow().services().log(
                *index_in_module,
                Level::Critical,
                &format!("cannot be started again: {error}"),
            ),
        }
    }
}

/// Returns the earliest time for the next start of a module that has just been started, or could not be. It is at least
/// `delay` from now. The time that the start took does not count, so that a slow one leaves other requests the whole
/// interval.
fn next_start(loaded: &LoadedChain, module: &LoadedModule, delay: Duration) -> u64 {
    let first = module.plugins.first();
    let first = first.and_then(|&plugin| loaded.plugins.get(plugin));
    // Envoy extends the interval by up to a half, at random for each request. With many requests, that hardly delays the
    // start.
    let interval = first.map_or(Duration::ZERO, |it| it.spec.restart_interval);
    after(loaded.config.clock.monotonic(), interval.max(delay))
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
