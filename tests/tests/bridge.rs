//! Tests the bridge with a host that fails or deletes a plugin. The proxies that run scenarios cannot be made to do this, so the adapted
//! guest `allocations-counted` runs here with a host that consists of a few functions.

use anyhow::Context;
use bytes::Bytes;
use tidegate_components::Encoder;
use tidegate_components::guests;
use wasmtime::{
    Caller, Engine, Extern, FuncType, Instance, Linker, Memory, Module, Result, Store, Val,
    ValType, WasmParams, WasmResults, format_err,
};

const GUEST: &str = "allocations-counted";

/// Where the guest stores what it has seen. Its source describes the values.
const ALLOCATIONS: usize = 128;
const ENTRIES: usize = 132;
const OUTCOME: usize = 136;
const SENT: usize = 140;

/// The cases of an outcome, plus one.
const RESPONSE: u32 = 1;
const RESET: u32 = 2;

/// The numbers of the first two HTTP calls.
const FIRST_CALL: u32 = 4;
const SECOND_CALL: u32 = 8;

/// The number of the map that contains the trailers of the response to an HTTP call.
const CALL_TRAILERS: u32 = 7;

/// The status of a hostcall that the deployment does not allow.
const INTERNAL_FAILURE: u32 = 10;

/// What the host returns to the module.
struct Host {
    /// The headers of requests, and of responses to HTTP calls.
    headers: Vec<u8>,
    /// The trailers of responses to HTTP calls.
    trailers: Vec<u8>,
    /// Their body. `None` if the deployment does not allow that it is read.
    body: Option<&'static [u8]>,
    /// The number of the last HTTP call, or 0.
    last_call: u32,
}

/// The module and its host.
struct Plugin {
    store: Store<Host>,
    instance: Instance,
}

// === impl Host ===

impl Default for Host {
    fn default() -> Self {
        Host {
            headers: serialized(&[(b":status", b"200")]),
            trailers: serialized(&[(b"x", b"1")]),
            body: Some(b"body"),
            last_call: 0,
        }
    }
}

impl Host {
    /// A host of which the second header has a name that is not UTF-8.
    fn with_malformed_headers() -> Self {
        Host {
            headers: serialized(&[(b":status", b"200"), (b"\xff", b"1")]),
            ..Host::default()
        }
    }
}

/// Returns Proxy-Wasm's serialization of fields.
fn serialized(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut data = (fields.len() as u32).to_le_bytes().to_vec();
    for (name, value) in fields {
        data.extend((name.len() as u32).to_le_bytes());
        data.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in fields {
        for part in [name, value] {
            data.extend_from_slice(part);
            data.push(0);
        }
    }
    data
}

// === impl Plugin ===

impl Plugin {
    /// Starts and configures the plugin, whose root context is 1.
    fn start(host: Host) -> Result<Plugin> {
        let engine = Engine::default();
        let module = module().map_err(|error| format_err!("{error:#}"))?;
        let module = Module::from_binary(&engine, &module)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("env", "proxy_get_header_map_pairs", get_header_map_pairs)?;
        linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer_bytes)?;
        let parameters = vec![ValType::I32; 10];
        let type_of_call = FuncType::new(&engine, parameters, [ValType::I32]);
        linker.func_new("env", "proxy_http_call", type_of_call, http_call)?;
        linker.define_unknown_imports_as_traps(&module)?;
        let mut store = Store::new(&engine, host);
        let instance = linker.instantiate(&mut store, &module)?;
        let mut plugin = Plugin { store, instance };
        plugin.call::<(), ()>("_initialize", ())?;
        plugin.configure(1)?;
        Ok(plugin)
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, export: &str, arguments: P) -> Result<R> {
        let export = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, export)?;
        export.call(&mut self.store, arguments)
    }

    /// Creates a root context, and configures the plugin for it.
    fn configure(&mut self, root: u32) -> Result<()> {
        self.call::<(u32, u32), ()>("proxy_on_context_create", (root, 0))?;
        let accepted = self.call::<(u32, u32), u32>("proxy_on_configure", (root, 0))?;
        assert_eq!(accepted, 1);
        Ok(())
    }

    /// Creates the context of a stream, and passes its headers.
    fn request(&mut self, context: u32, root: u32) -> Result<()> {
        self.call::<(u32, u32), ()>("proxy_on_context_create", (context, root))?;
        let arguments = (context, 1, 1);
        self.call::<(u32, u32, u32), u32>("proxy_on_request_headers", arguments)?;
        Ok(())
    }

    /// Deletes the context of a plugin or of a stream.
    fn delete(&mut self, context: u32) -> Result<()> {
        self.call::<u32, ()>("proxy_on_delete", context)
    }

    /// Reports that an HTTP call has ended with a response.
    fn outcome(&mut self, root: u32, call: u32) -> Result<()> {
        let body = self.store.data().body.map_or(4, <[u8]>::len);
        let arguments = (root, call, 1, body as u32, 1);
        self.call::<(u32, u32, u32, u32, u32), ()>("proxy_on_http_call_response", arguments)
    }

    /// Reads a number from the guest's memory.
    fn number(&mut self, at: usize) -> Result<u32> {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        let memory = memory.ok_or_else(|| format_err!("there is no memory"))?;
        let mut bytes = [0; 4];
        memory.read(&self.store, at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// The adapted guest.
fn module() -> anyhow::Result<Bytes> {
    let component = tidegate_components::guest(GUEST, Encoder::Newest)?;
    let component = component.context("no such guest")?;
    Ok(guests::adapted(GUEST, component)?.module)
}

// === The host's functions ===

fn get_header_map_pairs(
    mut caller: Caller<'_, Host>,
    map: u32,
    data_at: u32,
    size_at: u32,
) -> Result<u32> {
    let host = caller.data();
    let data = match map {
        CALL_TRAILERS => host.trailers.clone(),
        _ => host.headers.clone(),
    };
    give(&mut caller, &data, data_at, size_at)
}

fn get_buffer_bytes(
    mut caller: Caller<'_, Host>,
    _buffer: u32,
    start: u32,
    max: u32,
    data_at: u32,
    size_at: u32,
) -> Result<u32> {
    let Some(body) = caller.data().body else {
        return Ok(INTERNAL_FAILURE);
    };
    let rest = body.get(start as usize..).unwrap_or_default();
    let size = rest.len().min(max as usize);
    give(&mut caller, &rest[..size], data_at, size_at)
}

/// Returns the number of the call through the last parameter.
fn http_call(mut caller: Caller<'_, Host>, parameters: &[Val], results: &mut [Val]) -> Result<()> {
    let ([.., Val::I32(call_at)], [status]) = (parameters, results) else {
        return Err(format_err!("the function has another type"));
    };
    let host = caller.data_mut();
    host.last_call += FIRST_CALL;
    let call = host.last_call;
    let memory = memory(&mut caller)?;
    memory.write(&mut caller, *call_at as usize, &call.to_le_bytes())?;
    *status = Val::I32(0);
    Ok(())
}

/// Passes bytes to the module, in memory that the module allocates.
fn give(caller: &mut Caller<'_, Host>, bytes: &[u8], data_at: u32, size_at: u32) -> Result<u32> {
    let size = bytes.len() as u32;
    let allocate = caller.get_export("proxy_on_memory_allocate");
    let allocate = allocate
        .and_then(Extern::into_func)
        .ok_or_else(|| format_err!("there is no allocator"))?
        .typed::<u32, u32>(&mut *caller)?;
    let at = match size {
        0 => 0,
        _ => allocate.call(&mut *caller, size)?,
    };
    let memory = memory(caller)?;
    memory.write(&mut *caller, at as usize, bytes)?;
    memory.write(&mut *caller, data_at as usize, &at.to_le_bytes())?;
    memory.write(&mut *caller, size_at as usize, &size.to_le_bytes())?;
    Ok(0)
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| format_err!("there is no memory"))
}

// === Tests ===

#[test]
fn response_to_a_call_is_allocated_once() -> Result<()> {
    let mut plugin = Plugin::start(Host::default())?;
    plugin.outcome(1, FIRST_CALL)?;
    let before = plugin.number(ALLOCATIONS)?;
    plugin.outcome(1, FIRST_CALL)?;
    assert_eq!(plugin.number(OUTCOME)?, RESPONSE);
    // Two lists of fields, each with one name and one value, and the body.
    assert_eq!(plugin.number(ALLOCATIONS)?, before + 7);
    Ok(())
}

#[test]
fn response_that_cannot_be_read_allocates_nothing() -> Result<()> {
    let hosts = [
        Host::with_malformed_headers(),
        Host {
            body: None,
            ..Host::default()
        },
        Host {
            // There is no value.
            trailers: b"\x01\0\0\0\x01\0\0\0\x01\0\0\0x\0".to_vec(),
            ..Host::default()
        },
    ];
    for host in hosts {
        let mut plugin = Plugin::start(host)?;
        // The buffers of the bridge grow at first.
        plugin.outcome(1, FIRST_CALL)?;
        let before = plugin.number(ALLOCATIONS)?;
        plugin.outcome(1, FIRST_CALL)?;
        assert_eq!(plugin.number(OUTCOME)?, RESET);
        assert_eq!(plugin.number(ALLOCATIONS)?, before);
    }
    Ok(())
}

#[test]
fn fields_that_cannot_be_read_allocate_nothing() -> Result<()> {
    for (host, result, allocations) in [
        (Host::default(), 0, 3),
        (Host::with_malformed_headers(), 1, 0),
    ] {
        let mut plugin = Plugin::start(host)?;
        plugin.request(2, 1)?;
        let before = plugin.number(ALLOCATIONS)?;
        plugin.request(3, 1)?;
        assert_eq!(plugin.number(ENTRIES)?, result);
        assert_eq!(plugin.number(ALLOCATIONS)?, before + allocations);
    }
    Ok(())
}

#[test]
fn calls_of_a_deleted_plugin_are_forgotten() -> Result<()> {
    let mut plugin = Plugin::start(Host::default())?;
    plugin.request(2, 1)?;
    assert_eq!(plugin.number(SENT)?, 0);
    plugin.delete(2)?;
    plugin.delete(1)?;
    // The host cancels the call without reporting it, and uses its number for another call, which is for the plugin.
    plugin.configure(3)?;
    plugin.outcome(3, FIRST_CALL)?;
    assert_eq!(plugin.number(OUTCOME)?, RESPONSE);
    Ok(())
}

#[test]
fn calls_of_other_plugins_are_kept() -> Result<()> {
    let mut plugin = Plugin::start(Host::default())?;
    plugin.configure(2)?;
    plugin.request(3, 1)?;
    plugin.delete(2)?;
    // The outcome is for a stream, and the guest has no callback for it.
    plugin.outcome(1, FIRST_CALL)?;
    assert_eq!(plugin.number(OUTCOME)?, 0);
    Ok(())
}

#[test]
fn next_call_forgets_only_those_of_deleted_plugins() -> Result<()> {
    let mut plugin = Plugin::start(Host::default())?;
    plugin.configure(2)?;
    plugin.request(3, 2)?;
    plugin.delete(3)?;
    plugin.delete(2)?;
    plugin.request(4, 1)?;
    // The call is still known to be for a stream, and the guest has no callback for it.
    plugin.outcome(1, SECOND_CALL)?;
    assert_eq!(plugin.number(OUTCOME)?, 0);
    // The host uses the numbers of the plugin and of its call again, for a call that is for the plugin.
    plugin.configure(2)?;
    plugin.outcome(2, FIRST_CALL)?;
    assert_eq!(plugin.number(OUTCOME)?, RESPONSE);
    Ok(())
}
