//! The engine for plugins that are compiled for this machine: it passes callbacks to the same code as a component's exports.

use std::{marker::PhantomData, mem, rc::Rc, thread};

use tidegate_semantics::{
    context::{Context, Services},
    engine::{self, Callback, Callbacks, EventCallback, Trap},
    vocabulary::{self, Phase},
};

use crate::{
    Action, Completion, ConfigError, Plugin,
    bindings::{
        http_streams::HttpStream,
        native::current::{self, Current},
    },
    config,
    glue::{self, configure_from_json},
};

/// The code of a plugin.
pub(super) struct Native<P>(PhantomData<fn() -> P>);

/// An instance, with what its plugin has created.
struct Instance<P: Plugin> {
    services: Rc<Services>,
    contexts: Vec<glue::Context<P>>,
    /// The streams' filters, by slot. A filter is created for the first callback that the plugin defines.
    filters: Vec<Option<glue::Filter<P>>>,
    free_slots: Vec<usize>,
}

/// The name of each callback's method in [`Plugin`].
const PHASES: [(&str, Phase); 7] = [
    ("on_request_headers", Phase::RequestHeaders),
    ("on_request_body", Phase::RequestBody),
    ("on_request_trailers", Phase::RequestTrailers),
    ("on_response_headers", Phase::ResponseHeaders),
    ("on_response_body", Phase::ResponseBody),
    ("on_response_trailers", Phase::ResponseTrailers),
    ("on_log", Phase::Log),
];

const EVENTS: [(&str, EventCallback); 5] = [
    ("on_http_call_response", EventCallback::StreamCallResponse),
    (
        "on_plugin_http_call_response",
        EventCallback::PluginCallResponse,
    ),
    ("on_tick", EventCallback::Tick),
    ("on_queue_ready", EventCallback::QueueReady),
    ("on_plugin_done", EventCallback::PluginDone),
];

// === impl Native ===

impl<P> Native<P> {
    pub(super) fn new() -> Self {
        Native(PhantomData)
    }
}

impl<P: Plugin> engine::Compiled for Native<P> {
    fn callbacks(&self) -> Callbacks {
        let is_defined = |name: &str| P::EXPORTS.callbacks.is_none_or(|all| all.contains(&name));
        let phases = PHASES.into_iter().filter(|(name, _)| is_defined(name));
        let callbacks = phases.fold(Callbacks::default(), |all, (_, phase)| all.with(phase));
        let events = EVENTS.into_iter().filter(|(name, _)| is_defined(name));
        events.fold(callbacks, |all, (_, event)| all.with_event(event))
    }

    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn engine::Instance>, Trap> {
        Ok(Box::new(Instance::<P> {
            services: services.clone(),
            contexts: Vec::new(),
            filters: Vec::new(),
            free_slots: Vec::new(),
        }))
    }
}

// === impl Instance ===

impl<P: Plugin> Instance<P> {
    /// Runs code of the plugin for a context.
    fn run<R>(&self, context: &Context, run: impl FnOnce() -> R) -> Result<R, Trap> {
        self.enter(context, false, run)
    }

    /// Runs code of the plugin that creates or ends something, in which calls cannot be sent.
    fn run_lifecycle<R>(&self, context: &Context, run: impl FnOnce() -> R) -> Result<R, Trap> {
        self.enter(context, true, run)
    }

    fn enter<R>(
        &self,
        context: &Context,
        is_in_lifecycle: bool,
        run: impl FnOnce() -> R,
    ) -> Result<R, Trap> {
        // A stream is dropped because a test fails. Another panic would end the process.
        if thread::panicking() {
            return Err(Trap::new("the test has panicked"));
        }
        let current = Current {
            services: self.services.clone(),
            context: context.clone(),
            is_in_lifecycle,
        };
        Ok(current::enter(current, run))
    }

    fn plugin(&self, context: &Context) -> Result<&glue::Context<P>, Trap> {
        let plugin = self.contexts.get(context.plugin);
        plugin.ok_or_else(not_configured)
    }

    /// Creates the filter of a stream, unless there is one.
    fn create_filter(&mut self, context: &Context, slot: usize) -> Result<(), Trap> {
        if let Some(Some(_)) = self.filters.get(slot) {
            return Ok(());
        }
        let plugin = self.plugin(context)?;
        let filter = self.run(context, || {
            glue::Filter::create(plugin, HttpStream::new(context.id))
        })?;
        if let Some(kept) = self.filters.get_mut(slot) {
            *kept = Some(filter);
        }
        Ok(())
    }

    /// Runs a callback of a stream.
    fn call_filter(
        &mut self,
        context: &Context,
        slot: usize,
        callback: Callback,
    ) -> Result<vocabulary::Action, Trap> {
        self.create_filter(context, slot)?;
        let Some(Some(filter)) = self.filters.get(slot) else {
            return Err(not_configured());
        };
        let action = self.run(context, || {
            Some(match callback {
                Callback::RequestHeaders { end, .. } => filter.on_request_headers(end),
                Callback::RequestBody { size, end } => filter.on_request_body(size, end),
                Callback::RequestTrailers { .. } => filter.on_request_trailers(),
                Callback::ResponseHeaders { end, .. } => filter.on_response_headers(end),
                Callback::ResponseBody { size, end } => filter.on_response_body(size, end),
                Callback::ResponseTrailers { .. } => filter.on_response_trailers(),
                Callback::Log => {
                    filter.on_log();
                    return None;
                }
                Callback::HttpCallResponse { call, outcome } => {
                    filter.on_http_call_response(call, (*outcome).into());
                    return None;
                }
                Callback::Tick | Callback::QueueReady { .. } | Callback::PluginDone => return None,
            })
        })?;
        Ok(match action {
            None | Some(Action::Continue) => vocabulary::Action::Continue,
            Some(Action::Pause) => vocabulary::Action::Pause,
        })
    }

    /// Runs a callback of the plugin.
    fn call_plugin(
        &self,
        context: &Context,
        callback: Callback,
    ) -> Result<vocabulary::Action, Trap> {
        let plugin = self.plugin(context)?;
        let completion = self.run(context, || match callback {
            Callback::HttpCallResponse { call, outcome } => {
                plugin.on_plugin_http_call_response(call, (*outcome).into());
                Completion::Done
            }
            Callback::Tick => {
                plugin.on_tick();
                Completion::Done
            }
            Callback::QueueReady { queue } => {
                plugin.on_queue_ready(queue);
                Completion::Done
            }
            Callback::PluginDone => plugin.on_plugin_done(),
            _ => Completion::Done,
        })?;
        Ok(match completion {
            Completion::Done => vocabulary::Action::Continue,
            Completion::Pending => vocabulary::Action::Pause,
        })
    }
}

impl<P: Plugin> engine::Instance for Instance<P> {
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        let configured = self.run_lifecycle(context, || configure::<P>(configuration))?;
        Ok(configured.map(|plugin| self.contexts.push(plugin)))
    }

    fn open_stream(&mut self, _: &Context) -> Result<usize, Trap> {
        Ok(self.free_slots.pop().unwrap_or_else(|| {
            self.filters.push(None);
            self.filters.len() - 1
        }))
    }

    fn call(&mut self, context: &Context, callback: Callback) -> Result<vocabulary::Action, Trap> {
        match &context.stream {
            Some(stream) => self.call_filter(context, stream.slot, callback),
            None => self.call_plugin(context, callback),
        }
    }

    fn close_stream(&mut self, context: &Context) -> Result<(), Trap> {
        let Some(stream) = &context.stream else {
            return Ok(());
        };
        let filter = self.filters.get_mut(stream.slot).and_then(Option::take);
        self.free_slots.push(stream.slot);
        match filter {
            Some(filter) => self.run_lifecycle(context, || drop(filter)),
            None => Ok(()),
        }
    }

    fn shut_down(&mut self, context: &Context) -> Result<(), Trap> {
        // There is one plugin in each instance.
        match self.contexts.pop() {
            Some(plugin) => self.run_lifecycle(context, || drop(plugin)),
            None => Ok(()),
        }
    }
}

/// A guest that the proxy does not wait for, or that has trapped, runs no destructors.
impl<P: Plugin> Drop for Instance<P> {
    fn drop(&mut self) {
        mem::forget(mem::take(&mut self.contexts));
        mem::forget(mem::take(&mut self.filters));
    }
}

fn configure<P: Plugin>(configuration: &[u8]) -> Result<glue::Context<P>, String> {
    if P::EXPORTS.takes_configuration {
        return configure_from_json(configuration);
    }
    if !config::is_none(configuration) {
        return Err(glue::NO_CONFIGURATION.to_owned());
    }
    // The configuration is `()`.
    config::read_config(b"null")
        .and_then(P::configure)
        .map(glue::Context::new)
        .map_err(ConfigError::into_string)
}

fn not_configured() -> Trap {
    Trap::new("a callback was called on a plugin that is not configured")
}
