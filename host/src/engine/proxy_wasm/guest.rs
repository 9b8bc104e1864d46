//! The data of a Proxy-Wasm instance's store, and access to the guest's linear memory.
//!
//! All pointers come from the guest and may have any value: an access out of bounds returns an error and never panics.
//! Nothing is copied unnecessarily: names and values are read in place.

use std::rc::Rc;

use bytes::Bytes;
use tidegate_semantics::context::{Context, Services, StreamContext};
use tidegate_semantics::logs::Level;
use tidegate_semantics::port::CallResponse;
use wasmtime::{Caller, Memory, TypedFunc, bail};

use crate::engine::limiter::Limiter;
use crate::engine::proxy_wasm::abi::{Abi, Status};

/// The data of an instance's store.
pub(crate) struct Guest {
    pub(crate) services: Rc<Services>,
    pub(crate) abi: Abi,
    pub(crate) limiter: Limiter,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    pub(crate) mode: Mode,
    /// The context of the running callback.
    pub(crate) current: Option<Context>,
    /// The context that the guest has selected instead.
    pub(crate) effective: Option<Context>,
    /// The plugin's configuration, while it is being configured.
    pub(crate) configuration: Option<Bytes>,
    /// The response to an HTTP call, during its callback.
    pub(crate) http_call_response: Option<CallResponse>,
    /// The status of the last HTTP call that ended, with its message.
    pub(crate) http_call_status: (u32, &'static str),
    /// The environment in WASI's format.
    pub(crate) environment: Vec<Vec<u8>>,
}

/// The reason why guest code runs. It determines which functions the code may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Startup, before there is any context: logging and most of WASI.
    Starting,
    /// Allocation of memory for the result of a hostcall: logging and, of WASI, the clock and `poll_oneoff`.
    Allocating,
    /// A callback: everything.
    Running,
}

/// What a hostcall receives from wasmtime: access to the instance that calls it.
pub(crate) type Host<'a> = Caller<'a, Guest>;

/// The result of an access to the guest's memory. The error is the status that the hostcall returns.
pub(crate) type MemoryResult<T> = Result<T, Status>;

impl Guest {
    pub(crate) fn new(services: &Rc<Services>, abi: Abi) -> Self {
        let limiter = Limiter::for_core_module(services);
        let environment = services
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}\0").into_bytes())
            .collect();
        Self {
            services: services.clone(),
            abi,
            limiter,
            memory: None,
            allocate: None,
            mode: Mode::Starting,
            current: None,
            effective: None,
            configuration: None,
            http_call_response: None,
            http_call_status: (0, ""),
            environment,
        }
    }

    /// Returns the context that hostcalls apply to. One that the guest has selected counts until its stream has ended.
    pub(crate) fn context(&self) -> Option<&Context> {
        match &self.effective {
            Some(Context {
                stream: Some(stream),
                ..
            }) if has_ended(stream) => self.current.as_ref(),
            Some(context) => Some(context),
            None => self.current.as_ref(),
        }
    }

    /// Returns the stream that hostcalls apply to, if there is one.
    pub(crate) fn stream(&self) -> Option<&StreamContext> {
        self.context()?.stream.as_ref()
    }

    /// Returns the index of the plugin that hostcalls apply to.
    pub(crate) fn plugin(&self) -> usize {
        self.context().map_or(0, |it| it.plugin)
    }

    /// Writes a line to the log of the plugin whose context hostcalls apply to.
    pub(crate) fn log(&self, level: Level, message: &str) {
        self.services.log(self.plugin(), level, message);
    }
}

fn has_ended(stream: &StreamContext) -> bool {
    stream.shared.read(|state| state.ended)
}

/// Traps unless a callback is running: Envoy restricts this hostcall during startup and allocation.
pub(crate) fn require_running(caller: &Host<'_>, hostcall: &str) -> wasmtime::Result<()> {
    match caller.data().mode {
        Mode::Running => Ok(()),
        Mode::Starting => {
            bail!(
                "`{hostcall}` called while the module starts: only logging and WASI are available"
            )
        }
        Mode::Allocating => {
            bail!("`{hostcall}` called by the allocator: only logging and the clock are available")
        }
    }
}

/// Traps if the guest's allocator is running.
pub(crate) fn require_not_allocating(caller: &Host<'_>, hostcall: &str) -> wasmtime::Result<()> {
    match caller.data().mode {
        Mode::Allocating => {
            bail!("`{hostcall}` called by the allocator: only logging and the clock are available")
        }
        _ => Ok(()),
    }
}

/// Links functions that always return the same value. `$check` is called first, and decides whether they trap.
macro_rules! link_constant {
    ($linker:ident, $module:expr, $check:ident, $kind:ident, $($name:literal ($($argument:ty),*) => $value:ident;)*) => {$(
        $linker.func_wrap(
            $module,
            $name,
            |host: $crate::engine::proxy_wasm::guest::Host<'_>, $(_: $argument),*| -> wasmtime::Result<u32> {
                $check(&host, $name)?;
                Ok($kind::$value as u32)
            },
        )?;
    )*};
}

pub(crate) use link_constant;

/// Returns the guest's memory together with the rest of the store's data.
pub(crate) fn memory<'a>(caller: &'a mut Host<'_>) -> MemoryResult<(&'a mut [u8], &'a mut Guest)> {
    let memory = caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
    Ok(memory.data_and_store_mut(caller))
}

/// Returns a range of the guest's memory.
pub(crate) fn slice(memory: &[u8], at: u32, size: u32) -> MemoryResult<&[u8]> {
    let start = at as usize;
    let end = start
        .checked_add(size as usize)
        .ok_or(Status::InvalidMemoryAccess)?;
    memory.get(start..end).ok_or(Status::InvalidMemoryAccess)
}

/// Returns a mutable range of the guest's memory.
pub(crate) fn slice_mut(memory: &mut [u8], at: u32, size: u32) -> MemoryResult<&mut [u8]> {
    let start = at as usize;
    let end = start
        .checked_add(size as usize)
        .ok_or(Status::InvalidMemoryAccess)?;
    memory
        .get_mut(start..end)
        .ok_or(Status::InvalidMemoryAccess)
}

/// Writes a 32-bit integer.
pub(crate) fn write_u32(memory: &mut [u8], at: u32, value: u32) -> MemoryResult<()> {
    slice_mut(memory, at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Writes a 64-bit integer.
pub(crate) fn write_u64(memory: &mut [u8], at: u32, value: u64) -> MemoryResult<()> {
    slice_mut(memory, at, 8)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Passes bytes to the guest: calls the guest's allocator, lets `fill` write the bytes, and stores their address and
/// size through two pointers. The outer error is a trap in the allocator.
pub(crate) fn allocate_and_fill(
    caller: &mut Host<'_>,
    size: usize,
    data_at: u32,
    size_at: u32,
    fill: impl FnOnce(&mut [u8], &Guest) -> bool,
) -> wasmtime::Result<MemoryResult<()>> {
    let Ok(size) = u32::try_from(size) else {
        return Ok(Err(Status::InvalidMemoryAccess));
    };
    let at = match size {
        // No memory is allocated for an empty result.
        0 => 0,
        _ => match allocate(caller, size)? {
            0 => return Ok(Err(Status::InvalidMemoryAccess)),
            at => at,
        },
    };
    let result = memory(caller).and_then(|(memory, guest)| {
        if size > 0 && !fill(slice_mut(memory, at, size)?, guest) {
            return Err(Status::InternalFailure);
        }
        write_u32(memory, data_at, at)?;
        write_u32(memory, size_at, size)
    });
    Ok(result)
}

/// Passes bytes that the host holds to the guest, like `allocate_and_fill`.
pub(crate) fn copy_to_guest(
    caller: &mut Host<'_>,
    bytes: &[u8],
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<MemoryResult<()>> {
    allocate_and_fill(caller, bytes.len(), data_at, size_at, |destination, _| {
        destination.copy_from_slice(bytes);
        true
    })
}

fn allocate(caller: &mut Host<'_>, size: u32) -> wasmtime::Result<u32> {
    let Some(allocate) = caller.data().allocate.clone() else {
        return Ok(0);
    };
    let before = std::mem::replace(&mut caller.data_mut().mode, Mode::Allocating);
    let at = allocate.call(&mut *caller, size);
    caller.data_mut().mode = before;
    at
}

/// Converts a result to the return value of a hostcall.
pub(crate) fn status(result: MemoryResult<()>) -> u32 {
    match result {
        Ok(()) => Status::Ok as u32,
        Err(status) => status as u32,
    }
}
