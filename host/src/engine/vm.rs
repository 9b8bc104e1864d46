//! One instance on one worker, with all its contexts, and what becomes of it when it traps.
//!
//! Plugins with equal bytes share an instance, as in Envoy, and so does everything that a trap takes down. The instance is
//! borrowed while its guest runs; hostcalls reach [`Surroundings`] alone, which hold no instance, so that nothing is entered twice.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::attributes::Attributes;
use crate::clock::Clock;
use crate::engine::{Callbacks, Compiled, Instance, Trap};
use crate::limits::Limits;
use crate::logs::{Level, LogLine, LogSink};
use crate::observe::{Ear, Measured};
use crate::plugin::PluginSpec;
use crate::random::Random;
use crate::runtime::RuntimeConfig;
use crate::shared_data::SharedData;
use crate::stream::state::Shared;

/// One instance and its contexts.
pub(crate) struct Vm {
    instance: RefCell<Option<Box<dyn Instance>>>,
    callbacks: Callbacks,
    around: Rc<Surroundings>,
    dead: Cell<bool>,
}

/// What an instance's hostcalls can reach.
pub(crate) struct Surroundings {
    pub(crate) worker: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) limits: Limits,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) random: Random,
    pub(crate) shared_data: Arc<SharedData>,
    pub(crate) attributes: Arc<Attributes>,
    /// The names of the instance's plugins. Their contexts have the numbers from 1 on.
    pub(crate) plugins: Vec<String>,
    /// Where lines are heard beside the log, if somebody wants to.
    ear: Option<Ear>,
    contexts: RefCell<HashMap<u32, Context, BuildHasherDefault<NumberHasher>>>,
    next: Cell<u32>,
}

/// One plugin, or one plugin at work on one stream, as the guest speaks of it.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) id: u32,
    /// Index of the plugin in [`Surroundings::plugins`].
    pub(crate) plugin: usize,
    pub(crate) stream: Option<StreamContext>,
}

/// A stream, and whose part of it.
#[derive(Clone)]
pub(crate) struct StreamContext {
    pub(crate) shared: Rc<Shared>,
    pub(crate) filter: usize,
}

/// Contexts are numbered in order, and no number is used twice: they need no better hash.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

// === impl Vm ===

impl Vm {
    /// Makes an instance and runs its start-up code.
    pub(crate) fn start(compiled: &dyn Compiled, around: Surroundings) -> Result<Self, Trap> {
        let around = Rc::new(around);
        Ok(Self {
            instance: RefCell::new(Some(compiled.instantiate(&around)?)),
            callbacks: compiled.callbacks(),
            around,
            dead: Cell::new(false),
        })
    }

    pub(crate) fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    pub(crate) fn around(&self) -> &Rc<Surroundings> {
        &self.around
    }

    /// Whether the instance has trapped.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Runs guest code. None if the instance is dead, or dies of it; then it is logged, and the streams of all its contexts
    /// are called.
    pub(crate) fn enter<R>(
        &self,
        plugin: usize,
        call: impl FnOnce(&mut dyn Instance) -> Result<R, Trap>,
    ) -> Option<R> {
        // By construction no guest runs here already; were it so, that stream would fail, and the host go on.
        let mut borrowed = self.instance.try_borrow_mut().ok()?;
        match call(borrowed.as_deref_mut()?) {
            Ok(result) => Some(result),
            Err(trap) => {
                *borrowed = None;
                drop(borrowed);
                self.die(plugin, &trap);
                None
            }
        }
    }

    /// The same, and what it took.
    pub(crate) fn enter_measured<R>(
        &self,
        plugin: usize,
        call: impl FnOnce(&mut dyn Instance) -> Result<R, Trap>,
    ) -> (Option<R>, Measured) {
        let mut measured = Measured::default();
        let result = self.enter(plugin, |instance| {
            instance.refuel();
            let begun = Instant::now();
            let result = call(instance);
            measured.time = begun.elapsed();
            measured.fuel = instance.burnt();
            measured.trap = result.as_ref().err().map(|trap| trap.message.clone());
            result
        });
        measured.lines = self.around.ear.as_ref().map(Ear::take).unwrap_or_default();
        (result, measured)
    }

    /// Ends the plugins that were configured, in order, unless the instance has trapped.
    fn end(&self) {
        for plugin in 0..self.around.plugins.len() {
            let contexts = self.around.contexts.borrow();
            let context = contexts
                .values()
                .find(|it| it.stream.is_none() && it.plugin == plugin)
                .cloned();
            drop(contexts);
            if let Some(context) = context {
                self.enter(plugin, |instance| instance.end(&context));
                self.around.remove(context.id);
            }
        }
    }

    fn die(&self, plugin: usize, trap: &Trap) {
        self.dead.set(true);
        self.around.log(plugin, Level::Critical, &trap.message);
        let contexts = self.around.contexts.take();
        for context in contexts.into_values() {
            if let Some(stream) = context.stream {
                stream.shared.call();
            }
        }
    }
}

/// A plugin ends when the proxy stops, or serves with other plugins, and the last stream that it saw is over.
impl Drop for Vm {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl Surroundings ===

impl Surroundings {
    /// Of the plugins of one instance, the first says what all of them have.
    pub(crate) fn new(
        worker: usize,
        config: &RuntimeConfig,
        first: &PluginSpec,
        plugins: Vec<String>,
    ) -> Self {
        Self {
            worker,
            clock: config.clock.clone(),
            logs: config.logs.clone(),
            limits: first.limits,
            environment: first.environment.clone(),
            random: Random::new(first.seed),
            shared_data: config.shared_data.clone(),
            attributes: config.attributes.clone(),
            plugins,
            ear: config.observer.as_ref().map(|_| Ear::default()),
            contexts: RefCell::new(HashMap::default()),
            next: Cell::new(1),
        }
    }

    /// Numbers a new context.
    pub(crate) fn add(&self, plugin: usize, stream: Option<StreamContext>) -> Context {
        let mut contexts = self.contexts.borrow_mut();
        let mut id = self.next.get();
        // After four thousand million streams numbers begin again, behind those that are still in use.
        while id == 0 || contexts.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next.set(id.wrapping_add(1));
        let context = Context { id, plugin, stream };
        contexts.insert(id, context.clone());
        context
    }

    /// Forgets a context.
    pub(crate) fn remove(&self, id: u32) {
        let removed = self.contexts.borrow_mut().remove(&id);
        drop(removed);
    }

    /// The context of that number, if there is one.
    pub(crate) fn find(&self, id: u32) -> Option<Context> {
        self.contexts.borrow().get(&id).cloned()
    }

    /// Writes a line of a plugin's log.
    pub(crate) fn log(&self, plugin: usize, level: Level, message: &str) {
        if level < self.logs.level() {
            return;
        }
        if let Some(ear) = &self.ear {
            ear.hear(level, message);
        }
        let plugin = self.plugins.get(plugin).map_or("", String::as_str);
        self.logs.line(&LogLine {
            plugin,
            worker: self.worker,
            level,
            message,
        });
    }
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        // hashbrown tells entries apart by the upper bits: spread the number over all of them.
        self.0 = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
