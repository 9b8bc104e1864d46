//! The engine for components of the world `tidegate:proxy/http-plugin`.
//!
//! `guest` contains the store's data, `imports` the hostcalls of the contract, `http_fields` and `http_calls` those for fields and HTTP
//! calls, `exports` the lookup and the type check of callbacks, and `wasi` WASI. This file instantiates components and calls them.

mod exports;
pub(crate) mod guest;
mod http_calls;
mod http_fields;
mod imports;
mod shared_queues;
#[cfg(test)]
mod tests;
pub(crate) mod wasi;

use std::rc::Rc;

use tidegate_semantics::context::{Context, Services};
use tidegate_semantics::limits::TimeLimit;
use tidegate_semantics::plugin::PluginSpec;
use tidegate_semantics::vocabulary::Action;
use wasmtime::component::{Component, InstancePre, Linker, Resource, ResourceAny};
use wasmtime::{Engine, Store};

use crate::bindings::tidegate::proxy::types;
use crate::engine::component::exports::{Exports, Indices};
use crate::engine::component::guest::Guest;
use crate::engine::{self, Callback, Callbacks, Trap, refuel, trap};
use crate::error::LoadError;

/// A compiled and linked component.
pub(crate) struct Compiled {
    pre: InstancePre<Guest>,
    indices: Indices,
}

/// The world that a component has to target, as named in load errors.
pub(crate) const WORLD: &str = "tidegate:proxy/http-plugin@0.1.0";

impl Compiled {
    pub(crate) fn new(engine: &Engine, plugin: &PluginSpec) -> Result<Self, LoadError> {
        let name = || plugin.name.clone();
        let component =
            Component::from_binary(engine, &plugin.module).map_err(|error| LoadError::Compile {
                plugin: name(),
                source: error.into(),
            })?;
        exports::check(&component, &plugin.name)?;
        let mut linker = Linker::new(engine);
        let pre = imports::link(&mut linker)
            .and_then(|()| wasi::link(&mut linker, engine, &component))
            .and_then(|()| linker.instantiate_pre(&component))
            .map_err(|error| LoadError::Import {
                plugin: name(),
                world: WORLD,
                source: error.into(),
            })?;
        let indices = Indices::find(&pre, &plugin.name)?;
        Ok(Self { pre, indices })
    }
}

impl engine::Compiled for Compiled {
    fn callbacks(&self) -> Callbacks {
        self.indices.callbacks()
    }

    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn engine::Instance>, Trap> {
        let mut store = Store::new(self.pre.engine(), Guest::new(services));
        store.limiter(|guest| &mut guest.limiter);
        let time_limit = services.limits.for_start();
        store.set_epoch_deadline(time_limit.ticks);
        refuel(&mut store);
        let instance = self
            .pre
            .instantiate(&mut store)
            .map_err(|error| trap::from_error("instantiation", &error, time_limit.time))?;
        let exports = Exports::load(&self.indices, &mut store, &instance).map_err(|error| {
            Trap::new(format!(
                "an export has a different type than in {WORLD}: {error:#}"
            ))
        })?;
        Ok(Box::new(Instance {
            store,
            exports,
            plugin_contexts: Vec::new(),
            filters: Vec::new(),
            free_slots: Vec::new(),
            time_limit,
        }))
    }
}

/// An instance, with the resources that its guest has created.
struct Instance {
    store: Store<Guest>,
    exports: Exports,
    /// The plugins' contexts, by the plugin's index in the instance.
    plugin_contexts: Vec<ResourceAny>,
    /// The streams' filters, by slot. A filter is created for the first callback that the plugin exports.
    filters: Vec<Option<ResourceAny>>,
    free_slots: Vec<usize>,
    time_limit: TimeLimit,
}

impl Instance {
    /// Runs guest code for a context.
    fn run<R>(
        &mut self,
        context: &Context,
        name: &str,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        self.store.set_epoch_deadline(self.time_limit.ticks);
        self.store.data_mut().current = Some(context.clone());
        let result = call(&self.exports, &mut self.store);
        match &result {
            Ok(_) => self.store.data_mut().current = None,
            Err(_) => self.store.data_mut().flush(),
        }
        result.map_err(|error| trap::from_error(name, &error, self.time_limit.time))
    }

    /// Runs guest code that creates or ends something, in which calls cannot be sent.
    fn run_lifecycle<R>(
        &mut self,
        context: &Context,
        name: &str,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        self.store.data_mut().is_in_lifecycle = true;
        let result = self.run(context, name, call);
        self.store.data_mut().is_in_lifecycle = false;
        result
    }

    /// Returns the filter of a stream, and creates it if this is the stream's first callback.
    fn filter(&mut self, context: &Context, slot: usize) -> Result<ResourceAny, Trap> {
        if let Some(Some(filter)) = self.filters.get(slot) {
            return Ok(*filter);
        }
        let plugin = self.plugin(context)?;
        let filter = self.run(context, "[constructor]filter", |exports, store| {
            let http = Resource::new_own(context.id);
            exports
                .http_filter
                .filter()
                .call_constructor(store, plugin, http)
        })?;
        if let Some(kept) = self.filters.get_mut(slot) {
            *kept = Some(filter);
        }
        Ok(filter)
    }

    fn plugin(&self, context: &Context) -> Result<ResourceAny, Trap> {
        let plugin = self.plugin_contexts.get(context.plugin).copied();
        plugin.ok_or_else(|| Trap::new("a callback was called on a plugin that is not configured"))
    }
}

impl engine::Instance for Instance {
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        let limits = self.store.data().services.limits;
        self.time_limit = limits.for_start();
        let configured =
            self.run_lifecycle(context, "plugin-context.configure", |exports, store| {
                exports
                    .plugin
                    .plugin_context()
                    .call_configure(store, configuration)
            })?;
        self.time_limit = limits.for_callback();
        Ok(configured.map(|plugin| self.plugin_contexts.push(plugin)))
    }

    fn open_stream(&mut self, _context: &Context) -> Result<usize, Trap> {
        Ok(self.free_slots.pop().unwrap_or_else(|| {
            self.filters.push(None);
            self.filters.len() - 1
        }))
    }

    fn call(&mut self, context: &Context, callback: Callback) -> Result<Action, Trap> {
        let receiver = match &context.stream {
            Some(stream) => self.filter(context, stream.slot)?,
            None => self.plugin(context)?,
        };
        /// Calls an export if the component has it.
        macro_rules! call {
            ($export:ident, $name:literal $(, $argument:expr)*) => {
                self.run(context, $name, |exports, store| {
                    let export = exports.$export.as_ref();
                    export.map(|it| it.call_handle(store, receiver $(, $argument)*)).transpose()
                })
            };
        }
        match callback {
            Callback::RequestHeaders { end, .. } => {
                call!(on_request_headers, "on-request-headers", end).map(to_action)
            }
            Callback::RequestBody { size, end } => {
                call!(on_request_body, "on-request-body", size, end).map(to_action)
            }
            Callback::ResponseHeaders { end, .. } => {
                call!(on_response_headers, "on-response-headers", end).map(to_action)
            }
            Callback::ResponseBody { size, end } => {
                call!(on_response_body, "on-response-body", size, end).map(to_action)
            }
            Callback::RequestTrailers { .. } => {
                call!(on_request_trailers, "on-request-trailers").map(to_action)
            }
            Callback::ResponseTrailers { .. } => {
                call!(on_response_trailers, "on-response-trailers").map(to_action)
            }
            Callback::Log => call!(on_log, "on-log").map(|_| Action::Continue),
            Callback::HttpCallResponse { call, outcome } => {
                let outcome = &http_calls::to_guest(*outcome);
                match context.stream {
                    Some(_) => call!(
                        on_http_call_response,
                        "on-http-call-response",
                        call,
                        outcome
                    ),
                    None => call!(
                        on_plugin_http_call_response,
                        "on-plugin-http-call-response",
                        call,
                        outcome
                    ),
                }
                .map(|_| Action::Continue)
            }
            Callback::Tick => call!(on_tick, "on-tick").map(|_| Action::Continue),
            Callback::QueueReady { queue } => {
                call!(on_queue_ready, "on-queue-ready", queue).map(|_| Action::Continue)
            }
            Callback::PluginDone => {
                call!(on_plugin_done, "on-plugin-done").map(|completion| match completion {
                    None | Some(types::Completion::Done) => Action::Continue,
                    Some(types::Completion::Pending) => Action::Pause,
                })
            }
        }
    }

    fn close_stream(&mut self, context: &Context) -> Result<(), Trap> {
        let Some(stream) = &context.stream else {
            return Ok(());
        };
        let filter = self.filters.get_mut(stream.slot).and_then(Option::take);
        self.free_slots.push(stream.slot);
        match filter {
            Some(filter) => self.run_lifecycle(context, "[dtor]filter", |_, store| {
                filter.resource_drop(store)
            }),
            None => Ok(()),
        }
    }

    fn shut_down(&mut self, context: &Context) -> Result<(), Trap> {
        let plugin = self.plugin_contexts.get(context.plugin).copied();
        if let Some(plugin) = plugin {
            self.run_lifecycle(context, "[dtor]plugin-context", |_, store| {
                plugin.resource_drop(store)
            })?;
        }
        self.store.data_mut().flush();
        Ok(())
    }

    fn refuel(&mut self) {
        refuel(&mut self.store);
    }

    fn consumed_fuel(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }
}

fn to_action(action: Option<types::Action>) -> Action {
    match action {
        None | Some(types::Action::Continue) => Action::Continue,
        Some(types::Action::Pause) => Action::Pause,
    }
}
