//! One instance on one worker, with its contexts, and the handling of its traps.
//!
//! As in Envoy, plugins with identical bytes share an instance, and a trap affects all of them. The instance is
//! borrowed while its guest runs. Hostcalls can access only [`Services`], which do not contain the instance, so that it
//! is never entered twice.
//!
//! What hostcalls have queued for the worker is passed to its [`Port`] when a callback has returned. The outcomes of calls and the
//! ticks of timers come back here, and are dropped if the instance has trapped. `counting` counts callbacks, if there are statistics, and
//! `reporting` reports them to the observer, if there is one.
//!
//! Chains and streams use an instance through a [`VmHandle`]. When the last of them has ended, the plugins of the instance are asked
//! whether they are done, and dropped. If one is not, a task of the port owns the instance until it is, for a limited time.

mod counting;
mod reporting;

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::clock::after;
use crate::context::{Context, Services};
use crate::engine::{Callback, Callbacks, Compiled, Instance, Trap};
use crate::inconsistency;
use crate::logs::Level;
use crate::observe::{LineRecorder, Measured, PluginOccasion};
use crate::port::{CallOutcome, Linger, Pending, Port, QueueListener, TimerSetting};
use crate::vocabulary::Action;

/// How long an instance that is no longer in use is kept for plugins that are not done.
const END_LIMIT: Duration = Duration::from_secs(60);

/// An instance that is in use. When the last reference to this value is dropped, the instance's plugins end.
pub struct VmHandle {
    vm: Rc<Vm>,
}

/// One instance and its contexts.
pub struct Vm {
    instance: RefCell<Option<Box<dyn Instance>>>,
    callbacks: Callbacks,
    services: Rc<Services>,
    dead: Cell<bool>,
    /// Whether the instance serves streams. Only then is there anything to wait for when its plugins end.
    in_service: Cell<bool>,
    port: Rc<dyn Port>,
    /// The plugins' timers, by the plugin's index.
    timers: RefCell<Vec<Timer>>,
    /// Keeps the events of queues coming.
    _queue_events: Pending,
    /// A reference to this value for what the port calls later, so that it does not keep an old instance alive.
    this: Weak<Vm>,
    /// The task of the port that owns this value while it waits for plugins that are not done. Dropping it ends the wait.
    wait: RefCell<Option<Pending>>,
}

/// The events of the queues that an instance's plugins listen to. They exist before the instance, whose start-up code may register queues.
pub struct QueueEvents {
    pub listener: QueueListener,
    instance: Rc<OnceCell<Weak<Vm>>>,
    pending: Pending,
}

/// The timer of a plugin.
#[derive(Default)]
struct Timer {
    period: Duration,
    pending: Option<Pending>,
}

// === impl QueueEvents ===

impl QueueEvents {
    /// Prepares to pass the events of queues to an instance that is about to be created.
    pub fn new(port: &dyn Port) -> Self {
        let instance = Rc::new(OnceCell::<Weak<Vm>>::new());
        let target = instance.clone();
        let ready = move |plugin, queue| {
            if let Some(vm) = target.get().and_then(Weak::upgrade) {
                vm.queue_ready(plugin, queue);
            }
        };
        let (listener, pending) = port.listen(Box::new(ready));
        Self {
            listener,
            instance,
            pending,
        }
    }
}

// === impl VmHandle ===

impl VmHandle {
    /// Creates an instance and runs its start-up code.
    pub fn start(
        compiled: &dyn Compiled,
        services: Services,
        port: Rc<dyn Port>,
        events: QueueEvents,
    ) -> Result<Rc<Self>, Trap> {
        let services = Rc::new(services);
        // The first plugin stands for all while the instance starts, as in the log.
        let instance = reporting::report_failed_start(&services, || {
            compiled
                .instantiate(&services)
                .inspect_err(|_| services.count_trap(0))
        })?;
        let instance = counting::count_callbacks(instance, &services);
        let QueueEvents {
            instance: target,
            pending,
            ..
        } = events;
        let vm = Rc::new_cyclic(|this| Vm {
            instance: RefCell::new(Some(instance)),
            callbacks: compiled.callbacks(),
            services,
            dead: Cell::new(false),
            in_service: Cell::new(false),
            port,
            timers: RefCell::default(),
            _queue_events: pending,
            this: this.clone(),
            wait: RefCell::default(),
        });
        // It is set only here.
        let _ = target.set(Rc::downgrade(&vm));
        Ok(Rc::new(Self { vm }))
    }
}

impl Deref for VmHandle {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        &self.vm
    }
}

/// The plugins end after the proxy has stopped, or has switched to other plugins, and the last stream has ended.
impl Drop for VmHandle {
    fn drop(&mut self) {
        self.vm.end_plugins();
        if !self.vm.in_service.get() || self.vm.services.ending.waiting().is_empty() {
            return;
        }
        let at = after(self.vm.services.clock.monotonic(), END_LIMIT);
        let kept = self.vm.clone();
        let give_up = move || {
            let seconds = END_LIMIT.as_secs();
            kept.give_up(&format!("it was not done within {seconds} s"));
        };
        // A port that has stopped drops the function, and the instance with it.
        let wait = self.vm.port.schedule(at, Box::new(give_up));
        self.vm.wait.replace(Some(wait));
        self.vm.port.state().lingering.add(self.vm.this.clone());
    }
}

impl Linger for Vm {
    fn is_kept(&self) -> bool {
        self.wait.borrow().is_some()
    }

    fn give_up(&self, reason: &str) {
        // The instance ends first, so that the log contains what it has written without a line feed before the reason.
        let instance = self.instance.try_borrow_mut().ok();
        drop(instance.and_then(|mut it| it.take()));
        for plugin in self.services.ending.waiting() {
            let line = format!("stopped: {reason}");
            self.services.log(plugin, Level::Warn, &line);
        }
        // This may drop the last reference to the instance but for the caller's.
        self.wait.take();
    }
}

// === impl Vm ===

impl Vm {
    #[inline]
    pub fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    #[inline]
    pub fn services(&self) -> &Rc<Services> {
        &self.services
    }

    /// Records whether the instance serves streams: once its chain has started, and until the chain is discarded.
    pub fn set_in_service(&self, in_service: bool) {
        self.in_service.set(in_service);
    }

    /// Returns whether the instance has trapped.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Runs guest code. Returns `None` if the instance is dead, or if the code traps. A trap is logged, and the streams
    /// of all contexts are woken.
    pub fn enter<R>(
        &self,
        plugin: usize,
        call: impl FnOnce(&mut dyn Instance) -> Result<R, Trap>,
    ) -> Option<R> {
        let Ok(mut borrowed) = self.instance.try_borrow_mut() else {
            inconsistency::report("an instance is entered while its guest runs");
            return None;
        };
        let result = call(borrowed.as_deref_mut()?);
        self.port.state().calls.advance();
        match result {
            Ok(result) => {
                drop(borrowed);
                self.send_queued();
                Some(result)
            }
            Err(trap) => {
                *borrowed = None;
                drop(borrowed);
                self.handle_trap(plugin, &trap);
                None
            }
        }
    }

    /// Runs guest code like [`Vm::enter`], and measures its cost.
    pub fn enter_measured<R>(
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

    /// Passes to the port what the callback that has returned has queued.
    fn send_queued(&self) {
        let outbox = &self.services.outbox;
        if outbox.is_empty() {
            return;
        }
        for (id, call) in outbox.take_calls() {
            let this = self.this.clone();
            let done = move |outcome| {
                if let Some(vm) = this.upgrade() {
                    vm.call_ended(id, outcome);
                }
            };
            let pending = self.port.send(call, Box::new(done));
            outbox.call_started(id, pending);
        }
        for setting in outbox.take_timers().into_values() {
            self.set_timer(&setting);
        }
    }

    /// Passes the outcome of a call to the context that it was sent for, unless that has ended.
    fn call_ended(&self, id: u32, outcome: CallOutcome) {
        let receiver = self.services.outbox.call_ended(id);
        let Some(context) = receiver.and_then(|it| self.services.contexts.find(it)) else {
            return;
        };
        let ended = reporting::describe_end(id, &outcome);
        let callback = Callback::HttpCallResponse {
            call: id,
            outcome: Box::new(outcome),
        };
        self.deliver(&context, PluginOccasion::HttpCallResponse(ended), callback);
    }

    fn set_timer(&self, setting: &TimerSetting) {
        let TimerSetting {
            plugin,
            period,
            from,
        } = *setting;
        let mut timers = self.timers.borrow_mut();
        if timers.len() <= plugin {
            timers.resize_with(plugin + 1, Timer::default);
        }
        if let Some(timer) = timers.get_mut(plugin) {
            timer.period = period;
            let at = after(from, period);
            timer.pending = (!period.is_zero()).then(|| self.schedule_tick(plugin, at));
        }
    }

    /// Calls a plugin because a value has been added to its queue.
    fn queue_ready(&self, plugin: usize, queue: u32) {
        if let Some(context) = self.services.contexts.plugin_context(plugin) {
            let occasion = PluginOccasion::QueueReady { queue };
            self.deliver(&context, occasion, Callback::QueueReady { queue });
        }
    }

    fn schedule_tick(&self, plugin: usize, at: u64) -> Pending {
        let this = self.this.clone();
        let fire = move || {
            if let Some(vm) = this.upgrade() {
                vm.tick(plugin);
            }
        };
        self.port.schedule(at, Box::new(fire))
    }

    /// Calls a plugin because a period of its timer has passed.
    fn tick(&self, plugin: usize) {
        let Some(context) = self.services.contexts.plugin_context(plugin) else {
            return;
        };
        if let Some(timer) = self.timers.borrow_mut().get_mut(plugin) {
            timer.pending = None;
        }
        // The next period begins now. In Envoy, it begins when the callback has returned.
        let begun = self.services.clock.monotonic();
        self.deliver(&context, PluginOccasion::Tick, Callback::Tick);
        let mut timers = self.timers.borrow_mut();
        if let Some(timer) = timers.get_mut(plugin)
            && timer.pending.is_none()
            && !timer.period.is_zero()
        {
            let at = after(begun, timer.period);
            timer.pending = Some(self.schedule_tick(plugin, at));
        }
    }

    /// Runs a callback that belongs to no phase of a stream. Then drops the plugins that it has reported to be done.
    fn deliver(
        &self,
        context: &Context,
        occasion: PluginOccasion,
        callback: Callback,
    ) -> Option<Action> {
        if !self.callbacks.include(&callback, context.stream.is_some()) {
            // There is nothing to run, to count or to report.
            return Some(Action::Continue);
        }
        self.services.in_event.set(true);
        let action = self.call_reported(context, occasion, callback);
        self.services.in_event.set(false);
        self.drop_done_plugins();
        action
    }

    /// Ends the plugins that were configured, in order, unless the instance has trapped. Those that are not done stay.
    fn end_plugins(&self) {
        for plugin in 0..self.services.plugins.len() {
            let Some(context) = self.services.contexts.plugin_context(plugin) else {
                continue;
            };
            match self.deliver(&context, PluginOccasion::Done, Callback::PluginDone) {
                Some(Action::Continue) => self.drop_plugin(plugin),
                Some(_) => self.services.ending.wait_for(plugin),
                None => {}
            }
        }
        self.drop_done_plugins();
    }

    /// Drops the plugins that have reported that they are done. If they were the last ones, the wait for them ends.
    fn drop_done_plugins(&self) {
        let mut done = self.services.ending.take_done();
        if done.is_empty() {
            return;
        }
        while !done.is_empty() {
            for plugin in done {
                self.drop_plugin(plugin);
            }
            // A Proxy-Wasm module can report for another plugin while it drops one.
            done = self.services.ending.take_done();
        }
        if self.services.ending.waiting().is_empty() {
            self.wait.take();
        }
    }

    fn drop_plugin(&self, plugin: usize) {
        let Some(context) = self.services.contexts.plugin_context(plugin) else {
            return;
        };
        self.enter_for_plugin(plugin, PluginOccasion::End, |instance| {
            instance.shut_down(&context)
        });
        self.forget_plugin(&context);
    }

    /// Removes a plugin that was dropped, or that was not created. The instance may stay for another plugin.
    pub fn forget_plugin(&self, context: &Context) {
        let plugin = context.plugin;
        self.services.contexts.remove(context.id);
        if let Some(timer) = self.timers.borrow_mut().get_mut(plugin) {
            *timer = Timer::default();
        }
        let mut registrations = self.services.registrations.borrow_mut();
        registrations.retain(|(listener, _), _| *listener != plugin);
    }

    fn handle_trap(&self, plugin: usize, trap: &Trap) {
        self.dead.set(true);
        self.services.count_trap(plugin);
        self.services.log(plugin, Level::Critical, &trap.message);
        self.services.outbox.cancel_all();
        self.timers.take();
        self.services.registrations.take();
        self.services.ending.clear();
        self.wait.take();
        for context in self.services.contexts.drain() {
            if let Some(stream) = context.stream {
                stream.shared.notify();
            }
        }
    }
}
