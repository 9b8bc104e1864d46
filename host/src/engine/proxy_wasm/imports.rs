//! The hostcalls of Proxy-Wasm, in module `env`: they read arguments from the guest's memory and write results to it.
//!
//! Their semantics are in `hostcalls`; the files of this directory add how Envoy responds. Hostcalls that correspond to an interface of the
//! contract are in the file with its name, from `foreign_functions` to `stream_control`; `unsupported` contains those that have no
//! counterpart in this host yet, and this file all others.

use tidegate_semantics::hostcalls::{clock, logging, plugin_lifecycle};
use tidegate_semantics::logs::Level;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::{Abi, Status};
use crate::engine::proxy_wasm::guest::{
    Guest, Host, copy_to_guest, memory, require_running, slice, status, write_u32, write_u64,
};

/// Links the imports that a module of this ABI may have. Those that only another version has are missing, as in Envoy.
pub(crate) fn link(linker: &mut Linker<Guest>, abi: Abi) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_log", log)?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        get_current_time,
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", set_effective_context)?;
    linker.func_wrap("env", "proxy_done", done)?;
    linker.func_wrap("env", "proxy_get_status", get_status)?;
    linker.func_wrap("env", "pthread_equal", |a: u32, b: u32| u32::from(a == b))?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    if abi == Abi::V0_1_0 {
        linker.func_wrap("env", "proxy_get_configuration", get_configuration)?;
    }
    if abi == Abi::V0_2_1 {
        linker.func_wrap("env", "proxy_get_log_level", get_log_level)?;
    }
    super::foreign_functions::link(linker)?;
    super::http_bodies::link(linker)?;
    super::http_calls::link(linker)?;
    super::http_fields::link(linker)?;
    super::local_responses::link(linker)?;
    super::metrics::link(linker)?;
    super::properties::link(linker)?;
    super::shared_data::link(linker)?;
    super::shared_queues::link(linker)?;
    super::stream_control::link(linker, abi)?;
    super::unsupported::link(linker)
}

fn log(mut host: Host<'_>, level: u32, data: u32, size: u32) -> u32 {
    status(memory(&mut host).and_then(|(memory, guest)| {
        let level = usize::try_from(level)
            .ok()
            .and_then(|it| Level::ALL.get(it))
            .ok_or(Status::BadArgument)?;
        guest.log(*level, &String::from_utf8_lossy(slice(memory, data, size)?));
        Ok(())
    }))
}

fn get_log_level(mut host: Host<'_>, level_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_log_level")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        write_u32(memory, level_at, logging::lowest(&guest.services) as u32)
    })))
}

fn get_current_time(mut host: Host<'_>, time_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_current_time_nanoseconds")?;
    Ok(status(memory(&mut host).and_then(|(memory, guest)| {
        write_u64(memory, time_at, clock::now(&guest.services))
    })))
}

fn set_effective_context(mut host: Host<'_>, id: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_set_effective_context")?;
    let guest = host.data_mut();
    if guest.current.as_ref().is_some_and(|it| it.id == id) {
        guest.effective = None;
        return Ok(Status::Ok as u32);
    }
    match guest.services.contexts.find(id) {
        Some(context) => {
            guest.effective = Some(context);
            Ok(Status::Ok as u32)
        }
        None => Ok(Status::BadArgument as u32),
    }
}

/// Reports that a plugin is done after its `proxy_on_done` has returned 0. As in Envoy, returns `NotFound` if the plugin is not pending.
fn done(host: Host<'_>) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_done")?;
    let guest = host.data();
    let done = plugin_lifecycle::done(&guest.services, guest.plugin());
    Ok(done.map_or(Status::NotFound, |()| Status::Ok) as u32)
}

/// Returns the status of the last HTTP call that ended without a response.
fn get_status(
    mut host: Host<'_>,
    code_at: u32,
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_status")?;
    let (code, message) = host.data().http_call_status;
    let written = memory(&mut host).and_then(|(memory, _)| write_u32(memory, code_at, code));
    if let Err(error) = written {
        return Ok(error as u32);
    }
    Ok(status(copy_to_guest(
        &mut host,
        message.as_bytes(),
        data_at,
        size_at,
    )?))
}

fn get_configuration(mut host: Host<'_>, data_at: u32, size_at: u32) -> wasmtime::Result<u32> {
    require_running(&host, "proxy_get_configuration")?;
    let configuration = host.data().configuration.clone().unwrap_or_default();
    Ok(status(copy_to_guest(
        &mut host,
        &configuration,
        data_at,
        size_at,
    )?))
}
