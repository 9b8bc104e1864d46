//! What belongs to a Proxy-Wasm instance's store, and how hostcalls reach the guest's memory.
//!
//! Every pointer is the guest's and may be anything: no access here can fail but by giving none. Nothing is copied that need not
//! be: names and values are read where they lie.

use std::rc::Rc;

use bytes::Bytes;
use wasmtime::{Caller, Memory, TypedFunc, bail};

use crate::context::{Context, Services, StreamContext};
use crate::engine::limiter::Limiter;
use crate::engine::proxy_wasm::abi::{Abi, Status};
use crate::logs::Level;

/// The data of an instance's store.
pub(crate) struct Guest {
    pub(crate) services: Rc<Services>,
    pub(crate) abi: Abi,
    pub(crate) limits: Limiter,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    pub(crate) mode: Mode,
    /// The context that the callback was called for.
    pub(crate) current: Option<Context>,
    /// The one that the guest chose instead.
    pub(crate) effective: Option<Context>,
    /// The plugin's configuration, while it is configured.
    pub(crate) configuration: Option<Bytes>,
    /// The environment in WASI's form.
    pub(crate) environment: Vec<Vec<u8>>,
}

/// Why guest code runs, which says what it may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Before any context: logging and most of WASI.
    Starting,
    /// To get memory for a hostcall's result: logging and the clock.
    Allocating,
    /// A callback: everything.
    Running,
}

/// Bytes of the guest's memory, or what the hostcall answers instead.
pub(crate) type Access<T> = Result<T, Status>;

impl Guest {
    pub(crate) fn new(services: &Rc<Services>, abi: Abi) -> Self {
        let limits = Limiter::for_core_module(services.limits.memory);
        let environment = services
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}\0").into_bytes())
            .collect();
        Self {
            services: services.clone(),
            abi,
            limits,
            memory: None,
            allocate: None,
            mode: Mode::Starting,
            current: None,
            effective: None,
            configuration: None,
            environment,
        }
    }

    /// The context that hostcalls are about.
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

    /// The stream that hostcalls are about, if they are about one.
    pub(crate) fn stream(&self) -> Option<&StreamContext> {
        self.context()?.stream.as_ref()
    }

    /// Writes a line of the log of the plugin that runs.
    pub(crate) fn log(&self, level: Level, message: &str) {
        self.services
            .log(self.context().map_or(0, |it| it.plugin), level, message);
    }
}

fn has_ended(stream: &StreamContext) -> bool {
    stream.shared.read(|state| state.ended)
}

/// Traps unless a callback runs: what Envoy restricts while a guest starts or gives memory.
pub(crate) fn running(caller: &Caller<'_, Guest>, hostcall: &str) -> wasmtime::Result<()> {
    match caller.data().mode {
        Mode::Running => Ok(()),
        Mode::Starting => {
            bail!("`{hostcall}` called while the module starts: only logging and WASI are there")
        }
        Mode::Allocating => {
            bail!("`{hostcall}` called by the allocator: only logging and the clock are there")
        }
    }
}

/// Traps if the guest is asked for memory just now.
pub(crate) fn not_allocating(caller: &Caller<'_, Guest>, hostcall: &str) -> wasmtime::Result<()> {
    match caller.data().mode {
        Mode::Allocating => {
            bail!("`{hostcall}` called by the allocator: only logging and the clock are there")
        }
        _ => Ok(()),
    }
}

/// The guest's memory, and the rest of the store's data beside it.
pub(crate) fn memory<'a>(
    caller: &'a mut Caller<'_, Guest>,
) -> Access<(&'a mut [u8], &'a mut Guest)> {
    let memory = caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
    Ok(memory.data_and_store_mut(caller))
}

/// A part of the guest's memory.
pub(crate) fn slice(memory: &[u8], at: u32, size: u32) -> Access<&[u8]> {
    let start = at as usize;
    let end = start
        .checked_add(size as usize)
        .ok_or(Status::InvalidMemoryAccess)?;
    memory.get(start..end).ok_or(Status::InvalidMemoryAccess)
}

/// A part of the guest's memory, to be written.
pub(crate) fn slice_mut(memory: &mut [u8], at: u32, size: u32) -> Access<&mut [u8]> {
    let start = at as usize;
    let end = start
        .checked_add(size as usize)
        .ok_or(Status::InvalidMemoryAccess)?;
    memory
        .get_mut(start..end)
        .ok_or(Status::InvalidMemoryAccess)
}

/// Writes a number of 32 bits.
pub(crate) fn put_u32(memory: &mut [u8], at: u32, value: u32) -> Access<()> {
    slice_mut(memory, at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Writes a number of 64 bits.
pub(crate) fn put_u64(memory: &mut [u8], at: u32, value: u64) -> Access<()> {
    slice_mut(memory, at, 8)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Gives the guest bytes in memory that it allocates for them, and their place and size by two pointers. The outer error is
/// a trap in the allocator.
pub(crate) fn give(
    caller: &mut Caller<'_, Guest>,
    size: usize,
    data_at: u32,
    size_at: u32,
    fill: impl FnOnce(&mut [u8], &Guest) -> bool,
) -> wasmtime::Result<Access<()>> {
    let Ok(size) = u32::try_from(size) else {
        return Ok(Err(Status::InvalidMemoryAccess));
    };
    let at = match size {
        // Nothing is allocated for nothing.
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
        put_u32(memory, data_at, at)?;
        put_u32(memory, size_at, size)
    });
    Ok(result)
}

/// The same with bytes that the host holds.
pub(crate) fn give_bytes(
    caller: &mut Caller<'_, Guest>,
    bytes: &[u8],
    data_at: u32,
    size_at: u32,
) -> wasmtime::Result<Access<()>> {
    give(caller, bytes.len(), data_at, size_at, |place, _| {
        place.copy_from_slice(bytes);
        true
    })
}

fn allocate(caller: &mut Caller<'_, Guest>, size: u32) -> wasmtime::Result<u32> {
    let Some(allocate) = caller.data().allocate.clone() else {
        return Ok(0);
    };
    let before = std::mem::replace(&mut caller.data_mut().mode, Mode::Allocating);
    let at = allocate.call(&mut *caller, size);
    caller.data_mut().mode = before;
    at
}

/// What a hostcall's function returns.
pub(crate) fn status(result: Access<()>) -> u32 {
    match result {
        Ok(()) => Status::Ok as u32,
        Err(status) => status as u32,
    }
}
