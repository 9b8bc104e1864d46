//! WASI preview 1 for Proxy-Wasm modules, as in Envoy: standard output and standard error are logged; clocks, random
//! numbers and the environment are available; the other functions have no effect, and most return an error.
//!
//! It is written by hand because Envoy's is: a module that starts only with a complete WASI should not seem to work
//! here. The functions are linked under both names by which modules import them.

use tidegate_semantics::hostcalls::clock;
use tidegate_semantics::logs::Level;
use wasmtime::Linker;

use crate::engine::proxy_wasm::abi::Status;
use crate::engine::proxy_wasm::guest::{
    Guest, Host, link_constant, memory, require_not_allocating, require_running, slice, slice_mut,
    write_u32, write_u64,
};

type WasiResult = wasmtime::Result<u32>;

/// The WASI error numbers that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    NotDirectory = 20,
    Fault = 21,
    Invalid = 28,
    NoEntry = 44,
    NoSystemCall = 52,
    NotSupported = 58,
}

/// Links functions that succeed for standard output and standard error, and otherwise return `BadDescriptor`.
macro_rules! link_stdio_only {
    ($linker:ident, $module:ident, $($name:literal ($($argument:ty),*);)*) => {$(
        $linker.func_wrap($module, $name, |host: Host<'_>, fd: u32, $(_: $argument),*| -> WasiResult {
            require_not_allocating(&host, $name)?;
            Ok(if is_stdout_or_stderr(fd) { Errno::Success as u32 } else { Errno::BadDescriptor as u32 })
        })?;
    )*};
}

pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        linker.func_wrap(module, "fd_write", fd_write)?;
        linker.func_wrap(
            module,
            "fd_pwrite",
            |host: Host<'_>, fd: u32, list: u32, count: u32, _: u64, written_at: u32| {
                fd_write(host, fd, list, count, written_at)
            },
        )?;
        linker.func_wrap(module, "fd_fdstat_get", fd_fdstat_get)?;
        linker.func_wrap(
            module,
            "fd_seek",
            |host: Host<'_>, fd: u32, _: u64, _: u32, _: u32| log_no_op(&host, "fd_seek", fd),
        )?;
        linker.func_wrap(module, "fd_close", |host: Host<'_>, fd: u32| {
            log_no_op(&host, "fd_close", fd)
        })?;
        linker.func_wrap(module, "environ_sizes_get", environ_sizes_get)?;
        linker.func_wrap(module, "environ_get", environ_get)?;
        linker.func_wrap(module, "args_sizes_get", args_sizes_get)?;
        linker.func_wrap(module, "clock_time_get", clock_time_get)?;
        linker.func_wrap(module, "clock_res_get", clock_res_get)?;
        linker.func_wrap(module, "random_get", random_get)?;
        linker.func_wrap(module, "poll_oneoff", poll_oneoff)?;
        linker.func_wrap(module, "proc_exit", proc_exit)?;
        link_constant! { linker, module, require_not_allocating, Errno,
            "args_get" (u32, u32) => Success;
            "fd_advise" (u32, u64, u64, u32) => Success;
            "fd_fdstat_set_flags" (u32, u32) => NoSystemCall;
            "fd_filestat_get" (u32, u32) => BadDescriptor;
            "fd_pread" (u32, u32, u32, u64, u32) => NoSystemCall;
            "fd_prestat_dir_name" (u32, u32, u32) => NoSystemCall;
            "fd_prestat_get" (u32, u32) => BadDescriptor;
            "fd_readdir" (u32, u32, u32, u64, u32) => NotDirectory;
            "fd_renumber" (u32, u32) => BadDescriptor;
            "fd_tell" (u32, u32) => BadDescriptor;
            "path_create_directory" (u32, u32, u32) => NotSupported;
            "path_filestat_get" (u32, u32, u32, u32, u32) => NotSupported;
            "path_filestat_set_times" (u32, u32, u32, u32, u64, u64, u32) => NotSupported;
            "path_link" (u32, u32, u32, u32, u32, u32) => NotSupported;
            "path_readlink" (u32, u32, u32, u32, u32, u32) => NotSupported;
            "path_remove_directory" (u32, u32, u32) => NotSupported;
            "path_rename" (u32, u32, u32, u32, u32, u32) => NotSupported;
            "path_symlink" (u32, u32, u32, u32) => NotSupported;
            "path_unlink_file" (u32, u32, u32) => NotSupported;
            "sock_accept" (u32, u32, u32) => NotSupported;
            "sock_recv" (u32, u32, u32, u32, u32, u32) => NotSupported;
            "sock_send" (u32, u32, u32, u32, u32) => NotSupported;
            "sock_shutdown" (u32, u32) => NotSupported;
        }
        link_stdio_only! { linker, module,
            "fd_allocate" (u64, u64);
            "fd_datasync" ();
            "fd_fdstat_set_rights" (u64, u64);
            "fd_filestat_set_size" (u64);
            "fd_filestat_set_times" (u64, u64, u32);
            "fd_sync" ();
        }
        // Envoy does not provide these while a module starts.
        link_constant! { linker, module, require_running, Errno,
            "fd_read" (u32, u32, u32, u32) => NoSystemCall;
            "path_open" (u32, u32, u32, u32, u32, u64, u64, u32, u32) => NoEntry;
            "sched_yield" () => Success;
        }
    }
    Ok(())
}

fn is_stdout_or_stderr(fd: u32) -> bool {
    matches!(fd, 1 | 2)
}

fn errno(result: Result<(), Errno>) -> u32 {
    match result {
        Ok(()) => Errno::Success as u32,
        Err(errno) => errno as u32,
    }
}

impl From<Status> for Errno {
    /// Returns `Fault` for every status, because only memory accesses return one here.
    fn from(_: Status) -> Self {
        Errno::Fault
    }
}

/// Logs each call as one line. A line feed at its end is removed.
fn fd_write(mut host: Host<'_>, fd: u32, list: u32, count: u32, written_at: u32) -> u32 {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Errno::BadDescriptor as u32,
    };
    let result = memory(&mut host)
        .map_err(Errno::from)
        .and_then(|(memory, guest)| {
            let mut text = Vec::new();
            let list = slice(memory, list, count.checked_mul(8).ok_or(Errno::Fault)?)?;
            for entry in list.as_chunks::<4>().0.as_chunks::<2>().0 {
                let [at, size] = entry.map(u32::from_le_bytes);
                let bytes = slice(memory, at, size)?;
                // The list may refer to the same bytes repeatedly, so the size of the memory does not limit the line.
                if text.len() + bytes.len() > MAX_LINE {
                    return Err(Errno::Invalid);
                }
                text.extend_from_slice(bytes);
            }
            write_u32(
                memory,
                written_at,
                u32::try_from(text.len()).unwrap_or(u32::MAX),
            )?;
            if !text.is_empty() {
                let line = text.strip_suffix(b"\n").unwrap_or(&text);
                guest.log(level, &String::from_utf8_lossy(line));
            }
            Ok(())
        });
    errno(result)
}

/// The maximum length of a line in bytes.
const MAX_LINE: usize = 16 << 20;

fn fd_fdstat_get(mut host: Host<'_>, fd: u32, at: u32) -> WasiResult {
    require_not_allocating(&host, "fd_fdstat_get")?;
    if !is_stdout_or_stderr(fd) {
        return Ok(Errno::BadDescriptor as u32);
    }
    Ok(errno(memory(&mut host).map_err(Errno::from).and_then(
        |(memory, _)| {
            // All fields are zero except the right to write.
            slice_mut(memory, at, 24)?.fill(0);
            Ok(write_u64(
                memory,
                at.checked_add(8).ok_or(Errno::Fault)?,
                64,
            )?)
        },
    )))
}

fn log_no_op(host: &Host<'_>, function: &str, fd: u32) -> WasiResult {
    require_running(host, function)?;
    host.data().log(
        Level::Error,
        &format!("`{function}` of descriptor {fd} is ignored"),
    );
    Ok(Errno::Success as u32)
}

fn environ_sizes_get(mut host: Host<'_>, count_at: u32, size_at: u32) -> WasiResult {
    require_not_allocating(&host, "environ_sizes_get")?;
    Ok(errno(memory(&mut host).map_err(Errno::from).and_then(
        |(memory, guest)| {
            let count = u32::try_from(guest.environment.len()).map_err(|_| Errno::Fault)?;
            let size = u32::try_from(guest.environment.iter().map(Vec::len).sum::<usize>())
                .map_err(|_| Errno::Fault)?;
            write_u32(memory, count_at, count)?;
            Ok(write_u32(memory, size_at, size)?)
        },
    )))
}

fn environ_get(mut host: Host<'_>, mut list_at: u32, mut text_at: u32) -> WasiResult {
    require_not_allocating(&host, "environ_get")?;
    Ok(errno(memory(&mut host).map_err(Errno::from).and_then(
        |(memory, guest)| {
            for variable in &guest.environment {
                let size = u32::try_from(variable.len()).map_err(|_| Errno::Fault)?;
                write_u32(memory, list_at, text_at)?;
                slice_mut(memory, text_at, size)?.copy_from_slice(variable);
                list_at = list_at.checked_add(4).ok_or(Errno::Fault)?;
                text_at = text_at.checked_add(size).ok_or(Errno::Fault)?;
            }
            Ok(())
        },
    )))
}

fn args_sizes_get(mut host: Host<'_>, count_at: u32, size_at: u32) -> WasiResult {
    require_not_allocating(&host, "args_sizes_get")?;
    Ok(errno(memory(&mut host).map_err(Errno::from).and_then(
        |(memory, _)| {
            write_u32(memory, count_at, 0)?;
            Ok(write_u32(memory, size_at, 0)?)
        },
    )))
}

fn clock_time_get(mut host: Host<'_>, clock_id: u32, _precision: u64, time_at: u32) -> u32 {
    errno(
        memory(&mut host)
            .map_err(Errno::from)
            .and_then(|(memory, guest)| {
                let now = match clock_id {
                    0 => clock::now(&guest.services),
                    1 => guest.services.clock.monotonic(),
                    _ => return Err(Errno::NotSupported),
                };
                Ok(write_u64(memory, time_at, now)?)
            }),
    )
}

fn clock_res_get(mut host: Host<'_>, clock_id: u32, resolution_at: u32) -> WasiResult {
    require_not_allocating(&host, "clock_res_get")?;
    Ok(errno(memory(&mut host).map_err(Errno::from).and_then(
        |(memory, _)| match clock_id {
            0 | 1 => Ok(write_u64(memory, resolution_at, 1)?),
            _ => Err(Errno::NotSupported),
        },
    )))
}

fn random_get(mut host: Host<'_>, at: u32, size: u32) -> WasiResult {
    require_not_allocating(&host, "random_get")?;
    Ok(errno(match size {
        0 => Ok(()),
        // Envoy has the same limit of 64 KiB.
        65_537.. => Err(Errno::Invalid),
        _ => memory(&mut host)
            .map_err(Errno::from)
            .and_then(|(memory, guest)| {
                let bytes = slice_mut(memory, at, size)?;
                guest
                    .services
                    .random
                    .fill(bytes)
                    .map_err(|_| Errno::Invalid)
            }),
    }))
}

/// Returns at once and without events: a guest that sleeps would block its worker.
fn poll_oneoff(mut host: Host<'_>, _in: u32, _out: u32, _count: u32, events_at: u32) -> u32 {
    errno(
        memory(&mut host)
            .map_err(Errno::from)
            .and_then(|(memory, _)| Ok(write_u32(memory, events_at, 0)?)),
    )
}

/// Returns to the guest, as in Envoy. What the guest does next is up to it; mostly it executes `unreachable`.
fn proc_exit(host: Host<'_>, code: u32) -> wasmtime::Result<()> {
    require_running(&host, "proc_exit")?;
    tracing::error!(code, "a plugin calls proc_exit");
    Ok(())
}
