//! An instance of a module, and the calls of its callbacks.

use bytes::Bytes;
use tidegate_semantics::context::Context;
use tidegate_semantics::hostcalls::vm_configuration;
use tidegate_semantics::limits::TimeLimit;
use tidegate_semantics::port::{CallOutcome, CallResponse};
use tidegate_semantics::vocabulary::{Action, Direction};
use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

use crate::engine::proxy_wasm::abi::{body_action, headers_action, trailers_action};
use crate::engine::proxy_wasm::exports::{
    Exports, HTTP_CALL_RESPONSE, OnHeaders, REQUEST_HEADERS, RESPONSE_HEADERS,
};
use crate::engine::proxy_wasm::guest::Guest;
use crate::engine::{self, Callback, Trap, refuel, trap};

/// An instance, and the exports of it that are called.
pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    pub(super) exports: Exports,
    pub(super) time_limit: TimeLimit,
}

/// The status of an HTTP call that was reset, with Envoy's message.
const BROKEN_CONNECTION: (u32, &str) = (11, "reset");

// === impl Instance ===

impl Instance {
    /// Calls an export. The current context has already been set.
    pub(super) fn call_export<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        function: &TypedFunc<P, R>,
        arguments: P,
    ) -> Result<R, Trap> {
        call_export(&mut self.store, self.time_limit, name, function, arguments)
    }

    /// Calls a headers callback, whose parameters depend on the ABI.
    fn call_headers(
        &mut self,
        context: &Context,
        direction: Direction,
        count: u32,
        end: bool,
    ) -> Result<Action, Trap> {
        let Self {
            store,
            exports,
            time_limit,
        } = self;
        let (name, function) = match direction {
            Direction::Request => (REQUEST_HEADERS, &exports.on_request_headers),
            Direction::Response => (RESPONSE_HEADERS, &exports.on_response_headers),
        };
        let Some(function) = function else {
            return Ok(Action::Continue);
        };
        store.data_mut().current = Some(context.clone());
        let (id, end) = (context.id, u32::from(end));
        let result = match function {
            OnHeaders::V0_1(function) => {
                call_export(store, *time_limit, name, function, (id, count))
            }
            OnHeaders::V0_2(function) => {
                call_export(store, *time_limit, name, function, (id, count, end))
            }
        };
        let Guest {
            current, effective, ..
        } = store.data_mut();
        *current = None;
        *effective = None;
        result.map(headers_action)
    }
}

/// Calls an export. It does not borrow the whole instance, so that the export may be one of the instance's own.
fn call_export<P: WasmParams, R: WasmResults>(
    store: &mut Store<Guest>,
    time_limit: TimeLimit,
    name: &str,
    function: &TypedFunc<P, R>,
    arguments: P,
) -> Result<R, Trap> {
    store.set_epoch_deadline(time_limit.ticks);
    let result = function.call(&mut *store, arguments);
    result.map_err(|error| trap::from_error(name, &error, time_limit.time))
}

/// Calls one of an instance's exports for a context, if the module has it.
macro_rules! call {
    ($self:ident, $context:expr, $export:ident, $name:expr, $arguments:expr) => {
        match &$self.exports.$export {
            Some(function) => {
                let Guest {
                    current, effective, ..
                } = $self.store.data_mut();
                *current = Some($context.clone());
                *effective = None;
                let result = call_export(
                    &mut $self.store,
                    $self.time_limit,
                    $name,
                    function,
                    $arguments,
                );
                let Guest {
                    current, effective, ..
                } = $self.store.data_mut();
                *current = None;
                *effective = None;
                Some(result?)
            }
            None => None,
        }
    };
}

impl Instance {
    /// Creates the context of a plugin and configures it. The inner error is the reason why the plugin is refused.
    fn start_plugin(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        let id = context.id;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let size = length(configuration);
        let vm_size = length(vm_configuration::get(&self.store.data().services));
        call!(
            self,
            context,
            on_context_create,
            "proxy_on_context_create",
            (id, 0)
        );
        let name = "proxy_on_vm_start";
        if call!(self, context, on_vm_start, name, (id, vm_size)) == Some(0) {
            return Ok(Err(returned_false(name)));
        }
        let name = "proxy_on_configure";
        if call!(self, context, on_configure, name, (id, size)) == Some(0) {
            return Ok(Err(returned_false(name)));
        }
        Ok(Ok(()))
    }

    /// Passes the outcome of an HTTP call to the plugin. As in Envoy, a call without a response has no headers.
    fn http_call_ended(
        &mut self,
        context: &Context,
        call: u32,
        outcome: CallOutcome,
    ) -> Result<(), Trap> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let guest = self.store.data_mut();
        let (headers, body, trailers) = match outcome {
            CallOutcome::Response(response) => {
                let CallResponse {
                    headers,
                    body,
                    trailers,
                } = guest.http_call_response.insert(response);
                (headers.len(), body.len(), trailers.len())
            }
            CallOutcome::Reset => {
                guest.http_call_status = BROKEN_CONNECTION;
                (0, 0, 0)
            }
        };
        call!(
            self,
            context,
            on_http_call_response,
            HTTP_CALL_RESPONSE,
            (
                context.id,
                call,
                count(headers),
                count(body),
                count(trailers)
            )
        );
        let guest = self.store.data_mut();
        guest.http_call_response = None;
        // As in Envoy, the status stays, and its message does not.
        guest.http_call_status.1 = "";
        Ok(())
    }
}

fn returned_false(export: &str) -> String {
    format!("`{export}` returned false; the plugin's log may say why")
}

impl engine::Instance for Instance {
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        let guest = self.store.data_mut();
        guest.configuration = Some(Bytes::copy_from_slice(configuration));
        let limits = guest.services.limits;
        self.time_limit = limits.for_start();
        let configured = self.start_plugin(context, configuration);
        // A plugin that is refused may share the instance with others, which end now.
        self.store.data_mut().configuration = None;
        self.time_limit = limits.for_callback();
        configured
    }

    fn open_stream(&mut self, context: &Context) -> Result<usize, Trap> {
        // The ID of a plugin's context is the plugin's index in the instance plus one.
        let parent = u32::try_from(context.plugin)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        call!(
            self,
            context,
            on_context_create,
            "proxy_on_context_create",
            (context.id, parent)
        );
        Ok(0)
    }

    fn call(&mut self, context: &Context, callback: Callback) -> Result<Action, Trap> {
        let id = context.id;
        Ok(match callback {
            Callback::RequestHeaders { count, end } => {
                self.call_headers(context, Direction::Request, count, end)?
            }
            Callback::ResponseHeaders { count, end } => {
                self.call_headers(context, Direction::Response, count, end)?
            }
            Callback::RequestBody { size, end } => {
                let arguments = (id, size, u32::from(end));
                let name = "proxy_on_request_body";
                call!(self, context, on_request_body, name, arguments)
                    .map_or(Action::Continue, body_action)
            }
            Callback::ResponseBody { size, end } => {
                let arguments = (id, size, u32::from(end));
                let name = "proxy_on_response_body";
                call!(self, context, on_response_body, name, arguments)
                    .map_or(Action::Continue, body_action)
            }
            Callback::RequestTrailers { count } => {
                let name = "proxy_on_request_trailers";
                call!(self, context, on_request_trailers, name, (id, count))
                    .map_or(Action::Continue, trailers_action)
            }
            Callback::ResponseTrailers { count } => {
                let name = "proxy_on_response_trailers";
                call!(self, context, on_response_trailers, name, (id, count))
                    .map_or(Action::Continue, trailers_action)
            }
            Callback::Log => {
                call!(self, context, on_log, "proxy_on_log", id);
                Action::Continue
            }
            Callback::HttpCallResponse { call, outcome } => {
                self.http_call_ended(context, call, *outcome)?;
                Action::Continue
            }
            Callback::Tick => {
                call!(self, context, on_tick, "proxy_on_tick", id);
                Action::Continue
            }
            Callback::QueueReady { queue } => {
                let name = "proxy_on_queue_ready";
                call!(self, context, on_queue_ready, name, (id, queue));
                Action::Continue
            }
            Callback::PluginDone => match call!(self, context, on_done, "proxy_on_done", id) {
                Some(0) => Action::Pause,
                _ => Action::Continue,
            },
        })
    }

    fn close_stream(&mut self, context: &Context) -> Result<(), Trap> {
        // As in Envoy, a stream is deleted in any case.
        call!(self, context, on_done, "proxy_on_done", context.id);
        self.shut_down(context)
    }

    fn shut_down(&mut self, context: &Context) -> Result<(), Trap> {
        call!(self, context, on_delete, "proxy_on_delete", context.id);
        Ok(())
    }

    fn refuel(&mut self) {
        refuel(&mut self.store);
    }

    fn consumed_fuel(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }
}
