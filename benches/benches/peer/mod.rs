//! wasmtime alone, used as documented, with only the functions that a callback which appends one header needs: the lower bound for
//! Tidegate's engines.

use std::mem;

use http::{HeaderName, HeaderValue};
use tidegate_host::{Fields, Name};
use wasmtime::component::{
    Component as Compiled, ComponentType, Lift, Linker as ComponentLinker, Lower, Resource,
    ResourceAny, ResourceType, TypedFunc as ComponentFunc,
};
use wasmtime::{Caller, Config, Engine, Extern, Linker, Result, Store, TypedFunc, bail};

/// A deadline that is never reached. The checks are performed nevertheless.
const DEADLINE: u64 = 1 << 40;

/// The data in the store.
#[derive(Default)]
struct Message {
    fields: Fields,
    /// The name that was appended last. The engines also cache names.
    known: Option<HeaderName>,
}

impl Message {
    /// The semantics of the hostcall: the name and the value are validated and copied.
    fn append(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let name = match &self.known {
            Some(known) if known.as_str().as_bytes() == name => known.clone(),
            _ => self
                .known
                .insert(HeaderName::from_bytes(name).ok()?)
                .clone(),
        };
        self.fields
            .append(Name::Header(name), HeaderValue::from_bytes(value).ok()?);
        Some(())
    }
}

/// A core module with Proxy-Wasm's imports.
pub struct Module {
    store: Store<Message>,
    callback: TypedFunc<(i32, i32, i32), i32>,
}

impl Module {
    /// Compiles and instantiates the module.
    pub fn new(module: &[u8]) -> Result<Module> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap(
            "env",
            "proxy_add_header_map_value",
            |mut caller: Caller<'_, Message>,
             _: i32,
             name: u32,
             name_size: u32,
             value: u32,
             value_size: u32|
             -> Result<i32> {
                let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                    bail!("the module exports no memory")
                };
                let (bytes, message) = memory.data_and_store_mut(&mut caller);
                let slice = |at: u32, size: u32| {
                    bytes
                        .get(at as usize..at as usize + size as usize)
                        .unwrap_or_default()
                };
                let appended = message.append(slice(name, name_size), slice(value, value_size));
                Ok(appended.map_or(2, |()| 0))
            },
        )?;
        let mut store = Store::new(&engine, Message::default());
        store.set_epoch_deadline(DEADLINE);
        let instance = linker.instantiate(&mut store, &wasmtime::Module::new(&engine, module)?)?;
        let callback = instance.get_typed_func(&mut store, "proxy_on_response_headers")?;
        Ok(Module { store, callback })
    }

    /// Runs one callback on these fields.
    pub fn call(&mut self, fields: &mut Fields) -> Result<()> {
        mem::swap(&mut self.store.data_mut().fields, fields);
        self.callback.call(&mut self.store, (1, 13, 1))?;
        mem::swap(&mut self.store.data_mut().fields, fields);
        Ok(())
    }
}

/// A component for the world `all`.
pub struct Component {
    store: Store<Message>,
    callback: ComponentFunc<(ResourceAny, bool), (Action,)>,
    filter: ResourceAny,
}

/// The representation of the world's `http-stream`.
struct HttpStream;

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "most cases come from the component, if at all")]
enum FieldMap {
    #[component(name = "request-headers")]
    RequestHeaders,
    #[component(name = "request-trailers")]
    RequestTrailers,
    #[component(name = "response-headers")]
    ResponseHeaders,
    #[component(name = "response-trailers")]
    ResponseTrailers,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "most cases come from the component, if at all")]
enum Action {
    #[component(name = "continue")]
    Continue,
    #[component(name = "pause")]
    Pause,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "most cases come from the component, if at all")]
enum Error {
    #[component(name = "closed")]
    Closed,
    #[component(name = "not-available")]
    NotAvailable,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "cas-mismatch")]
    CasMismatch,
    #[component(name = "empty")]
    Empty,
    #[component(name = "malformed")]
    Malformed,
    #[component(name = "not-permitted")]
    NotPermitted,
    #[component(name = "unsupported")]
    Unsupported,
    #[component(name = "internal")]
    Internal,
}

impl Component {
    /// Compiles and instantiates the component, configures it and creates a filter.
    pub fn new(component: &[u8], concurrency: bool) -> Result<Component> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(concurrency);
        let engine = Engine::new(&config)?;
        let compiled = Compiled::new(&engine, component)?;
        let mut linker = ComponentLinker::<Message>::new(&engine);
        linker
            .instance("tidegate:proxy/http-streams@0.1.0")?
            .resource("http-stream", ResourceType::host::<HttpStream>(), |_, _| {
                Ok(())
            })?;
        linker
            .instance("tidegate:proxy/http-fields@0.1.0")?
            .func_wrap(
            "append",
            |mut store, (_, _, name, value): (Resource<HttpStream>, FieldMap, String, Vec<u8>)| {
                Ok((store
                    .data_mut()
                    .append(name.as_bytes(), &value)
                    .ok_or(Error::InvalidArgument),))
            },
        )?;
        let mut store = Store::new(&engine, Message::default());
        store.set_epoch_deadline(DEADLINE);
        let instance = linker.instantiate(&mut store, &compiled)?;

        let mut find = |interface: &str, function: &str| {
            let interface = format!("tidegate:proxy/{interface}@0.1.0");
            let interface = instance.get_export_index(&mut store, None, &interface)?;
            instance.get_export_index(&mut store, Some(&interface), function)
        };
        let (Some(configure), Some(create), Some(handle)) = (
            find("plugin", "[static]plugin-context.configure"),
            find("http-filter", "[constructor]filter"),
            find("on-response-headers", "handle"),
        ) else {
            bail!("not a component of the expected world")
        };
        let configure = instance
            .get_typed_func::<(&[u8],), (Result<ResourceAny, String>,)>(&mut store, configure)?;
        let (Ok(plugin),) = configure.call(&mut store, (&[],))? else {
            bail!("the plugin rejected its configuration")
        };
        let create = instance
            .get_typed_func::<(ResourceAny, Resource<HttpStream>), (ResourceAny,)>(
                &mut store, create,
            )?;
        let (filter,) = create.call(&mut store, (plugin, Resource::new_own(1)))?;
        let callback = instance.get_typed_func(&mut store, handle)?;
        Ok(Component {
            store,
            callback,
            filter,
        })
    }

    /// Runs one callback on these fields.
    pub fn call(&mut self, fields: &mut Fields) -> Result<()> {
        mem::swap(&mut self.store.data_mut().fields, fields);
        self.callback.call(&mut self.store, (self.filter, true))?;
        mem::swap(&mut self.store.data_mut().fields, fields);
        Ok(())
    }
}
