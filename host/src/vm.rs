//! One instance on one worker, with all its contexts, and what becomes of it when it traps.
//!
//! Plugins with equal bytes share an instance, as in Envoy, and so does everything that a trap takes down. The instance is
//! borrowed while its guest runs; hostcalls reach [`Services`] alone, which hold no instance, so that nothing is entered twice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use crate::context::Services;
use crate::engine::{Callbacks, Compiled, Instance, Trap};
use crate::inconsistency;
use crate::logs::Level;
use crate::observe::{LineRecorder, Measured};

/// One instance and its contexts.
pub(crate) struct Vm {
    instance: RefCell<Option<Box<dyn Instance>>>,
    callbacks: Callbacks,
    services: Rc<Services>,
    dead: Cell<bool>,
}

// === impl Vm ===

impl Vm {
    /// Makes an instance and runs its start-up code.
    pub(crate) fn start(compiled: &dyn Compiled, services: Services) -> Result<Self, Trap> {
        let services = Rc::new(services);
        Ok(Self {
            instance: RefCell::new(Some(compiled.instantiate(&services)?)),
            callbacks: compiled.callbacks(),
            services,
            dead: Cell::new(false),
        })
    }

    pub(crate) fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    pub(crate) fn services(&self) -> &Rc<Services> {
        &self.services
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
        let Ok(mut borrowed) = self.instance.try_borrow_mut() else {
            inconsistency::report("an instance is entered while its guest runs");
            return None;
        };
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
        let recorder = self.services.recorder.as_ref();
        measured.lines = recorder.map(LineRecorder::take).unwrap_or_default();
        (result, measured)
    }

    /// Ends the plugins that were configured, in order, unless the instance has trapped.
    fn end(&self) {
        for plugin in 0..self.services.plugins.len() {
            if let Some(context) = self.services.contexts.of_plugin(plugin) {
                self.enter(plugin, |instance| instance.end(&context));
                self.services.contexts.remove(context.id);
            }
        }
    }

    fn die(&self, plugin: usize, trap: &Trap) {
        self.dead.set(true);
        self.services.log(plugin, Level::Critical, &trap.message);
        for context in self.services.contexts.take() {
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
