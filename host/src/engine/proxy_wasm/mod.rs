//! The engine for Proxy-Wasm core modules of ABI 0.2.1, 0.2.0 and 0.1.0.
//!
//! `abi` contains the constants, `pairs` the serialization of header maps, `guest` the store's data and access to linear
//! memory, `imports` and the modules that it names the hostcalls, `unsupported` those that are not implemented, and `wasi` the other imports. This
//! file checks modules when they are loaded, starts them in Envoy's order, and calls their callbacks.

mod abi;
mod foreign_functions;
mod guest;
mod http_bodies;
mod http_calls;
mod http_fields;
mod imports;
mod local_responses;
mod metrics;
mod pairs;
mod properties;
mod shared_data;
mod shared_queues;
mod stream_control;
#[cfg(test)]
mod tests;
mod unsupported;
mod wasi;

pub use unsupported::UNSUPPORTED;

use std::rc::Rc;

use bytes::Bytes;
use wasmtime::{
    Engine, ExternType, FuncType, InstancePre, Linker, Module, Store, TypedFunc, ValType,
    WasmParams, WasmResults,
};

use crate::context::{Context, Services};
use crate::engine::proxy_wasm::abi::{Abi, body_action, headers_action, trailers_action};
use crate::engine::proxy_wasm::guest::{Guest, Mode};
use crate::engine::{self, Callback, Callbacks, EventCallback, Trap, refuel};
use crate::error::LoadError;
use crate::hostcalls::vm_configuration;
use crate::limits::TimeLimit;
use crate::plugin::PluginSpec;
use crate::port::{CallOutcome, CallResponse};
use crate::vocabulary::{Action, Direction, Phase};

/// A compiled and linked module.
pub(crate) struct Compiled {
    pre: InstancePre<Guest>,
    abi: Abi,
    callbacks: Callbacks,
}

/// An instance, and the exports of it that are called.
struct Instance {
    store: Store<Guest>,
    exports: Exports,
    time_limit: TimeLimit,
}

/// The exports that the host calls. All of them are optional.
#[derive(Default)]
struct Exports {
    on_context_create: Option<TypedFunc<(u32, u32), ()>>,
    on_vm_start: Option<TypedFunc<(u32, u32), u32>>,
    on_configure: Option<TypedFunc<(u32, u32), u32>>,
    on_request_headers: Option<OnHeaders>,
    on_request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    on_request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    on_response_headers: Option<OnHeaders>,
    on_response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    on_response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    on_log: Option<TypedFunc<u32, ()>>,
    on_http_call_response: Option<OnHttpCallResponse>,
    on_tick: Option<TypedFunc<u32, ()>>,
    on_queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    on_done: Option<TypedFunc<u32, u32>>,
    on_delete: Option<TypedFunc<u32, ()>>,
}

/// The callback for the outcome of an HTTP call: the plugin's context, the call, and the numbers of headers, bytes and trailers.
type OnHttpCallResponse = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// A headers callback. It has one more parameter after ABI 0.1.0.
enum OnHeaders {
    V0_1(TypedFunc<(u32, u32), u32>),
    V0_2(TypedFunc<(u32, u32, u32), u32>),
}

/// The ABI versions that a module has to target, as named in load errors.
const SUPPORTED_ABIS: &str = "Proxy-Wasm 0.2.1, 0.2.0 or 0.1.0";

/// The exports whose types are checked when a module is loaded: the name, the number of parameters, and whether there is
/// a result. All types are `i32`.
const SIGNATURES: [(&str, usize, bool); 21] = [
    ("_initialize", 0, false),
    ("_start", 0, false),
    ("main", 2, true),
    ("__main_void", 0, true),
    ("malloc", 1, true),
    ("proxy_on_memory_allocate", 1, true),
    ("proxy_on_context_create", 2, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_on_configure", 2, true),
    (REQUEST_HEADERS, 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    (RESPONSE_HEADERS, 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_log", 1, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_delete", 1, false),
    (HTTP_CALL_RESPONSE, 5, false),
    ("proxy_on_tick", 1, false),
    ("proxy_on_queue_ready", 2, false),
];

/// The status of an HTTP call that was reset, with Envoy's message.
const BROKEN_CONNECTION: (u32, &str) = (11, "reset");

const REQUEST_HEADERS: &str = "proxy_on_request_headers";
const RESPONSE_HEADERS: &str = "proxy_on_response_headers";
const HTTP_CALL_RESPONSE: &str = "proxy_on_http_call_response";

// === impl Compiled ===

impl Compiled {
    pub(crate) fn new(engine: &Engine, plugin: &PluginSpec) -> Result<Self, LoadError> {
        let name = || plugin.name.clone();
        let module =
            Module::from_binary(engine, &plugin.module).map_err(|error| LoadError::Compile {
                plugin: name(),
                source: error.into(),
            })?;
        // The first version marker in the order of the exports determines the ABI.
        let abi = module
            .exports()
            .filter(|export| matches!(export.ty(), ExternType::Func(_)))
            .find_map(|export| Abi::from_export(export.name()))
            .ok_or_else(|| LoadError::UnknownAbi { plugin: name() })?;
        let missing = |export: &str| LoadError::MissingExport {
            plugin: name(),
            export: export.to_owned(),
            world: SUPPORTED_ABIS,
        };
        if !module
            .exports()
            .any(|export| matches!(export.ty(), ExternType::Memory(_)))
        {
            return Err(missing("memory"));
        }
        if module.get_export("malloc").is_none()
            && module.get_export("proxy_on_memory_allocate").is_none()
        {
            return Err(missing("proxy_on_memory_allocate"));
        }
        for (export, parameters, result) in SIGNATURES {
            let parameters =
                if abi == Abi::V0_1_0 && [REQUEST_HEADERS, RESPONSE_HEADERS].contains(&export) {
                    parameters - 1
                } else {
                    parameters
                };
            if let Some(ExternType::Func(found)) = module.get_export(export)
                && !has_i32_signature(&found, parameters, result)
            {
                let result = if result { "(i32)" } else { "()" };
                let wanted = vec!["i32"; parameters].join(", ");
                return Err(LoadError::WrongType {
                    plugin: name(),
                    export: export.to_owned(),
                    world: SUPPORTED_ABIS,
                    reason: format!("expected ({wanted}) -> {result}, found {found}"),
                });
            }
        }
        let mut linker = Linker::new(engine);
        let pre = imports::link(&mut linker, abi)
            .and_then(|()| wasi::link(&mut linker))
            .and_then(|()| linker.instantiate_pre(&module))
            .map_err(|error| LoadError::Import {
                plugin: name(),
                world: SUPPORTED_ABIS,
                source: error.into(),
            })?;
        let callbacks = STREAM_CALLBACKS
            .into_iter()
            .filter(|(_, export)| module.get_export(export).is_some())
            .fold(Callbacks::default(), |all, (phase, _)| all.with(phase));
        let callbacks = EVENT_CALLBACKS
            .into_iter()
            .filter(|(_, export)| module.get_export(export).is_some())
            .fold(callbacks, |all, (event, _)| all.with_event(event));
        Ok(Self {
            pre,
            abi,
            callbacks,
        })
    }
}

/// The exports that are stream callbacks.
const STREAM_CALLBACKS: [(Phase, &str); 7] = [
    (Phase::RequestHeaders, REQUEST_HEADERS),
    (Phase::RequestBody, "proxy_on_request_body"),
    (Phase::RequestTrailers, "proxy_on_request_trailers"),
    (Phase::ResponseHeaders, RESPONSE_HEADERS),
    (Phase::ResponseBody, "proxy_on_response_body"),
    (Phase::ResponseTrailers, "proxy_on_response_trailers"),
    (Phase::Log, "proxy_on_log"),
];

/// The exports that are callbacks for events. One is for the HTTP calls of streams and of the plugin.
const EVENT_CALLBACKS: [(EventCallback, &str); 5] = [
    (EventCallback::StreamCallResponse, HTTP_CALL_RESPONSE),
    (EventCallback::PluginCallResponse, HTTP_CALL_RESPONSE),
    (EventCallback::Tick, "proxy_on_tick"),
    (EventCallback::QueueReady, "proxy_on_queue_ready"),
    (EventCallback::PluginDone, "proxy_on_done"),
];

fn has_i32_signature(found: &FuncType, parameters: usize, result: bool) -> bool {
    found.params().len() == parameters
        && found.results().len() == usize::from(result)
        && found
            .params()
            .chain(found.results())
            .all(|it| matches!(it, ValType::I32))
}

impl engine::Compiled for Compiled {
    fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    fn instantiate(&self, services: &Rc<Services>) -> Result<Box<dyn engine::Instance>, Trap> {
        let mut store = Store::new(self.pre.module().engine(), Guest::new(services, self.abi));
        store.limiter(|guest| &mut guest.limiter);
        let time_limit = services.limits.for_start();
        store.set_epoch_deadline(time_limit.ticks);
        refuel(&mut store);
        let instance = self
            .pre
            .instantiate(&mut store)
            .map_err(|error| Trap::from_error("instantiation", &error, time_limit.time))?;
        let memory = self
            .pre
            .module()
            .exports()
            .find(|export| matches!(export.ty(), ExternType::Memory(_)))
            .and_then(|export| instance.get_memory(&mut store, export.name()));
        store.data_mut().memory = memory;
        let mut lookup = ExportLookup {
            store: &mut store,
            instance,
        };
        let allocate = lookup
            .function("malloc")
            .or_else(|| lookup.function("proxy_on_memory_allocate"));
        let exports = Exports::find(&mut lookup, self.abi);
        let initialize = lookup.function::<(), ()>("_initialize");
        let start = lookup.function::<(), ()>("_start");
        let main = lookup.function::<(u32, u32), u32>("main");
        let main_void = lookup.function::<(), u32>("__main_void");
        store.data_mut().allocate = allocate;
        let mut instance = Instance {
            store,
            exports,
            time_limit,
        };
        match (initialize, start) {
            (Some(initialize), _) => {
                instance.call_export("_initialize", &initialize, ())?;
                match (main, main_void) {
                    (Some(main), _) => _ = instance.call_export("main", &main, (0, 0))?,
                    (None, Some(main)) => _ = instance.call_export("__main_void", &main, ())?,
                    (None, None) => {}
                }
            }
            (None, Some(start)) => instance.call_export("_start", &start, ())?,
            (None, None) => {}
        }
        instance.store.data_mut().mode = Mode::Running;
        Ok(Box::new(instance))
    }
}

// === impl Exports ===

/// Looks up exports. Their types were checked when the module was loaded.
struct ExportLookup<'a> {
    store: &'a mut Store<Guest>,
    instance: wasmtime::Instance,
}

impl ExportLookup<'_> {
    fn function<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> Option<TypedFunc<P, R>> {
        self.instance.get_typed_func(&mut *self.store, name).ok()
    }

    fn on_headers(&mut self, name: &str, abi: Abi) -> Option<OnHeaders> {
        match abi {
            Abi::V0_1_0 => self.function(name).map(OnHeaders::V0_1),
            Abi::V0_2_0 | Abi::V0_2_1 => self.function(name).map(OnHeaders::V0_2),
        }
    }
}

impl Exports {
    fn find(lookup: &mut ExportLookup<'_>, abi: Abi) -> Self {
        Self {
            on_context_create: lookup.function("proxy_on_context_create"),
            on_vm_start: lookup.function("proxy_on_vm_start"),
            on_configure: lookup.function("proxy_on_configure"),
            on_request_headers: lookup.on_headers(REQUEST_HEADERS, abi),
            on_request_body: lookup.function("proxy_on_request_body"),
            on_request_trailers: lookup.function("proxy_on_request_trailers"),
            on_response_headers: lookup.on_headers(RESPONSE_HEADERS, abi),
            on_response_body: lookup.function("proxy_on_response_body"),
            on_response_trailers: lookup.function("proxy_on_response_trailers"),
            on_log: lookup.function("proxy_on_log"),
            on_http_call_response: lookup.function(HTTP_CALL_RESPONSE),
            on_tick: lookup.function("proxy_on_tick"),
            on_queue_ready: lookup.function("proxy_on_queue_ready"),
            on_done: lookup.function("proxy_on_done"),
            on_delete: lookup.function("proxy_on_delete"),
        }
    }
}

// === impl Instance ===

impl Instance {
    /// Calls an export. The current context has already been set.
    fn call_export<P: WasmParams, R: WasmResults>(
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
    result.map_err(|error| Trap::from_error(name, &error, time_limit.time))
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
    /// Passes the outcome of an HTTP call to the plugin. As in Envoy, a call without a response has no headers.
    fn call_ended(
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
                } = guest.call_response.insert(response);
                (headers.len(), body.len(), trailers.len())
            }
            CallOutcome::Reset => {
                guest.call_status = BROKEN_CONNECTION;
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
        guest.call_response = None;
        // As in Envoy, the status stays, and its message does not.
        guest.call_status.1 = "";
        Ok(())
    }
}

impl engine::Instance for Instance {
    fn configure(
        &mut self,
        context: &Context,
        configuration: &[u8],
    ) -> Result<Result<(), String>, Trap> {
        let id = context.id;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let size = length(configuration);
        let guest = self.store.data_mut();
        let vm_size = length(vm_configuration::get(&guest.services));
        guest.configuration = Some(Bytes::copy_from_slice(configuration));
        let limits = guest.services.limits;
        self.time_limit = limits.for_start();
        call!(
            self,
            context,
            on_context_create,
            "proxy_on_context_create",
            (id, 0)
        );
        let arguments = (id, vm_size);
        if call!(self, context, on_vm_start, "proxy_on_vm_start", arguments) == Some(0) {
            return Ok(Err(
                "`proxy_on_vm_start` returned false; the plugin's log may say why".to_owned(),
            ));
        }
        let accepted = call!(
            self,
            context,
            on_configure,
            "proxy_on_configure",
            (id, size)
        );
        self.store.data_mut().configuration = None;
        self.time_limit = limits.for_callback();
        Ok(match accepted {
            Some(0) => {
                Err("`proxy_on_configure` returned false; the plugin's log may say why".to_owned())
            }
            _ => Ok(()),
        })
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
                self.call_ended(context, call, outcome)?;
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
