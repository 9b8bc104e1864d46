//! The engine for Proxy-Wasm core modules of ABI 0.2.1, 0.2.0 and 0.1.0.
//!
//! `abi` contains the constants, `pairs` the serialization of header maps, `guest` the store's data and access to linear memory, `imports`
//! and the modules that it names the hostcalls, and `wasi` the other imports. `exports` lists and looks up what a module exports, and
//! `instance` calls it. This file checks modules when they are loaded, and starts them in Envoy's order.

mod abi;
mod exports;
mod foreign_functions;
mod guest;
mod http_bodies;
mod http_calls;
mod http_fields;
mod imports;
mod instance;
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

use tidegate_semantics::context::Services;
use tidegate_semantics::plugin::PluginSpec;
use wasmtime::{Engine, ExternType, InstancePre, Linker, Module, Store};

use crate::engine::proxy_wasm::abi::Abi;
use crate::engine::proxy_wasm::exports::{
    EVENT_CALLBACKS, ExportLookup, Exports, REQUEST_HEADERS, RESPONSE_HEADERS, SIGNATURES,
    STREAM_CALLBACKS, has_i32_signature,
};
use crate::engine::proxy_wasm::guest::{Guest, Mode};
use crate::engine::proxy_wasm::instance::Instance;
use crate::engine::{self, Callbacks, Trap, refuel, trap};
use crate::error::LoadError;

/// A compiled and linked module.
pub(crate) struct Compiled {
    pre: InstancePre<Guest>,
    abi: Abi,
    callbacks: Callbacks,
}

/// The ABI versions that a module has to target, as named in load errors.
const SUPPORTED_ABIS: &str = "Proxy-Wasm 0.2.1, 0.2.0 or 0.1.0";

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
            .map_err(|error| trap::from_error("instantiation", &error, time_limit.time))?;
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
