//! One instance on one worker, with its contexts, and the handling of its traps.
//!
//! As in Envoy, plugins with identical bytes share an instance, and a trap affects all of them. The instance is
//! borrowed while its guest runs. Hostcalls can access only [`Services`], which do not contain the instance, so that it
//! is never entered twice.

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
    /// Creates an instance and runs its start-up code.
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

    /// Returns whether the instance has trapped.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Runs guest code. Returns `None` if the instance is dead, or if the code traps. A trap is logged, and the streams
    /// of all contexts are woken.
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
                self.handle_trap(plugin, &trap);
                None
            }
        }
    }

    /// Runs guest code like [`Vm::enter`], and measures its cost.
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
            measured.fuel = instance.consumed_fuel();
            measured.trap = result.as_ref().err().map(|trap| trap.message.clone());
            result
        });
        let recorder = self.services.recorder.as_ref();
        measured.lines = recorder.map(LineRecorder::take).unwrap_or_default();
        (result, measured)
    }

    /// Ends the plugins that were configured, in order, unless the instance has trapped.
    fn end_plugins(&self) {
        for plugin in 0..self.services.plugins.len() {
            if let Some(context) = self.services.contexts.plugin_context(plugin) {
                self.enter(plugin, |instance| instance.shut_down(&context));
                self.services.contexts.remove(context.id);
            }
        }
    }

    fn handle_trap(&self, plugin: usize, trap: &Trap) {
        self.dead.set(true);
        self.services.log(plugin, Level::Critical, &trap.message);
        for context in self.services.contexts.drain() {
            if let Some(stream) = context.stream {
                stream.shared.notify();
            }
        }
    }
}

/// A plugin ends after the proxy has stopped, or has switched to other plugins, and its last stream has ended.
impl Drop for Vm {
    fn drop(&mut self) {
        self.end_plugins();
    }
}
