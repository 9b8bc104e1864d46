//! WASI preview 1, for a main module that imports it directly.
//!
//! What every release of the host provides is passed on to the host. Output goes to the log, line by line. All other
//! functions return the error numbers that the host would return. There are no files except standard output and
//! standard error, and no sockets.

use crate::abi;
use crate::memory::bytes;
use crate::output;
use crate::state::state;
use crate::wasi::cli::leave;
use crate::wasi::random::fill;

/// The error number that a call returns. 0 is success.
type Errno = u32;

const SUCCESS: Errno = 0;
const BAD_DESCRIPTOR: Errno = 8;
const IO: Errno = 29;
const NO_ENTRY: Errno = 44;
const NO_SYSTEM_CALL: Errno = 52;
const NOT_DIRECTORY: Errno = 54;
const NOT_SUPPORTED: Errno = 58;
const NOT_SEEKABLE: Errno = 70;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// The right to write, and no other.
const RIGHT_WRITE: u64 = 1 << 6;
/// The highest clock: 0 and 1 are supported.
const LAST_CLOCK: u32 = 1;

/// A piece of what is written: a `ciovec`.
#[repr(C)]
struct Piece {
    start: *const u8,
    len: usize,
}

/// A `subscription`: something to wait for. Only its name and kind are read, because everything is ready at once.
#[repr(C)]
struct Subscription {
    name: u64,
    kind: u8,
    details: [u64; 4],
}

/// An `event`: what was waited for is ready.
#[repr(C)]
struct Event {
    name: u64,
    errno: u16,
    kind: u8,
    bytes: u64,
    flags: u16,
}

#[unsafe(export_name = "wasi_snapshot_preview1#fd_write")]
extern "C" fn fd_write(
    descriptor: u32,
    pieces: *const Piece,
    pieces_len: usize,
    written: *mut u32,
) -> Errno {
    write(descriptor, pieces, pieces_len, written)
}

#[unsafe(export_name = "wasi_snapshot_preview1#fd_pwrite")]
extern "C" fn fd_pwrite(
    descriptor: u32,
    pieces: *const Piece,
    pieces_len: usize,
    _offset: u64,
    written: *mut u32,
) -> Errno {
    write(descriptor, pieces, pieces_len, written)
}

fn write(descriptor: u32, pieces: *const Piece, pieces_len: usize, written: *mut u32) -> Errno {
    let stream = match descriptor {
        STDOUT => output::Stream::Stdout,
        STDERR => output::Stream::Stderr,
        _ => return BAD_DESCRIPTOR,
    };
    let state = state();
    let mut total = 0_u32;
    for index in 0..pieces_len {
        // SAFETY: preview 1 passes that many pieces, which stay where they are for the duration of the call.
        let piece = unsafe {
            let piece = pieces.add(index);
            bytes((*piece).start, (*piece).len)
        };
        output::write(state, stream, piece);
        total = total.wrapping_add(piece.len() as u32);
    }
    // SAFETY: preview 1 passes the address for the number of bytes written.
    unsafe { written.write(total) };
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#proc_exit")]
extern "C" fn proc_exit(code: u32) {
    leave(code);
}

#[unsafe(export_name = "wasi_snapshot_preview1#proc_raise")]
extern "C" fn proc_raise(signal: u32) -> Errno {
    leave(128_u32.wrapping_add(signal));
}

#[unsafe(export_name = "wasi_snapshot_preview1#clock_time_get")]
extern "C" fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> Errno {
    if clock > LAST_CLOCK {
        return NOT_SUPPORTED;
    }
    // SAFETY: preview 1 passes the address for the time.
    unsafe { abi::clock_time_get(clock, precision, time) }
}

#[unsafe(export_name = "wasi_snapshot_preview1#clock_res_get")]
extern "C" fn clock_res_get(clock: u32, resolution: *mut u64) -> Errno {
    if clock > LAST_CLOCK {
        return NOT_SUPPORTED;
    }
    // SAFETY: preview 1 passes the address for the resolution.
    unsafe { resolution.write(1) };
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#random_get")]
extern "C" fn random_get(buffer: *mut u8, len: usize) -> Errno {
    if fill(buffer, len) { SUCCESS } else { IO }
}

#[unsafe(export_name = "wasi_snapshot_preview1#environ_get")]
extern "C" fn environ_get(entries: *mut u32, buffer: *mut u8) -> Errno {
    // SAFETY: preview 1 passes space for as much as the host returned from `environ_sizes_get`.
    unsafe { abi::environ_get(entries, buffer) }
}

#[unsafe(export_name = "wasi_snapshot_preview1#environ_sizes_get")]
extern "C" fn environ_sizes_get(count: *mut u32, size: *mut u32) -> Errno {
    // SAFETY: preview 1 passes the addresses for the numbers.
    unsafe { abi::environ_sizes_get(count, size) }
}

/// Not part of WASI. The preview 1 adapter stops its clock while an allocator that asks for the time runs, because a
/// component must not call imports then. Here it may.
#[unsafe(export_name = "wasi_snapshot_preview1#adapter_monotonic_clock_set_paused")]
extern "C" fn adapter_monotonic_clock_set_paused(_: u32) {}

#[unsafe(export_name = "wasi_snapshot_preview1#args_get")]
extern "C" fn args_get(_: u32, _: u32) -> Errno {
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#args_sizes_get")]
extern "C" fn args_sizes_get(count: *mut u32, size: *mut u32) -> Errno {
    // SAFETY: preview 1 passes the addresses for the numbers.
    unsafe {
        count.write(0);
        size.write(0);
    }
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#sched_yield")]
extern "C" fn sched_yield() -> Errno {
    SUCCESS
}

/// Nothing can wait in a proxy, so everything that is waited for, including the end of a sleep, is ready at once.
#[unsafe(export_name = "wasi_snapshot_preview1#poll_oneoff")]
extern "C" fn poll_oneoff(
    subscriptions: *const Subscription,
    events: *mut Event,
    len: usize,
    happened: *mut u32,
) -> Errno {
    for index in 0..len {
        // SAFETY: preview 1 passes `len` subscriptions and room for as many events.
        unsafe {
            let subscription = subscriptions.add(index);
            let (name, kind) = ((*subscription).name, (*subscription).kind);
            events.add(index).write(Event {
                name,
                errno: 0,
                kind,
                bytes: 0,
                flags: 0,
            });
        }
    }
    // SAFETY: preview 1 passes the address for the number.
    unsafe { happened.write(len as u32) };
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#fd_fdstat_get")]
extern "C" fn fd_fdstat_get(descriptor: u32, stat: *mut u64) -> Errno {
    if !matches!(descriptor, STDOUT | STDERR) {
        return BAD_DESCRIPTOR;
    }
    // SAFETY: preview 1 passes space for an `fdstat`: type and flags, the rights, and those that are inherited.
    unsafe {
        stat.write(0);
        stat.add(1).write(RIGHT_WRITE);
        stat.add(2).write(0);
    }
    SUCCESS
}

#[unsafe(export_name = "wasi_snapshot_preview1#fd_seek")]
extern "C" fn fd_seek(_: u32, _: u64, _: u32, _: u32) -> Errno {
    NOT_SEEKABLE
}

/// Declares functions that return a constant, and optionally another one for standard output and standard error.
macro_rules! constants {
    ($($name:literal ($descriptor:ty $(, $parameter:ty)*) $result:ident $(, $outputs:ident)?;)*) => {
        $(const _: () = {
            #[unsafe(export_name = concat!("wasi_snapshot_preview1#", $name))]
            extern "C" fn function(_descriptor: $descriptor $(, _: $parameter)*) -> Errno {
                $(if matches!(_descriptor, STDOUT | STDERR) {
                    return $outputs;
                })?
                $result
            }
        };)*
    };
}

constants! {
    "fd_advise" (u32, u64, u64, u32) BAD_DESCRIPTOR, SUCCESS;
    "fd_allocate" (u32, u64, u64) BAD_DESCRIPTOR, SUCCESS;
    "fd_close" (u32) BAD_DESCRIPTOR, SUCCESS;
    "fd_datasync" (u32) BAD_DESCRIPTOR, SUCCESS;
    "fd_fdstat_set_flags" (u32, u32) NO_SYSTEM_CALL;
    "fd_fdstat_set_rights" (u32, u64, u64) BAD_DESCRIPTOR, SUCCESS;
    "fd_filestat_get" (u32, u32) BAD_DESCRIPTOR;
    "fd_filestat_set_size" (u32, u64) BAD_DESCRIPTOR, SUCCESS;
    "fd_filestat_set_times" (u32, u64, u64, u32) BAD_DESCRIPTOR, SUCCESS;
    "fd_pread" (u32, u32, u32, u64, u32) NO_SYSTEM_CALL;
    "fd_prestat_dir_name" (u32, u32, u32) NO_SYSTEM_CALL;
    "fd_prestat_get" (u32, u32) BAD_DESCRIPTOR;
    "fd_read" (u32, u32, u32, u32) NO_SYSTEM_CALL;
    "fd_readdir" (u32, u32, u32, u64, u32) NOT_DIRECTORY;
    "fd_renumber" (u32, u32) BAD_DESCRIPTOR;
    "fd_sync" (u32) BAD_DESCRIPTOR, SUCCESS;
    "fd_tell" (u32, u32) BAD_DESCRIPTOR;
    "path_create_directory" (u32, u32, u32) NOT_SUPPORTED;
    "path_filestat_get" (u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "path_filestat_set_times" (u32, u32, u32, u32, u64, u64, u32) NOT_SUPPORTED;
    "path_link" (u32, u32, u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "path_open" (u32, u32, u32, u32, u32, u64, u64, u32, u32) NO_ENTRY;
    "path_readlink" (u32, u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "path_remove_directory" (u32, u32, u32) NOT_SUPPORTED;
    "path_rename" (u32, u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "path_symlink" (u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "path_unlink_file" (u32, u32, u32) NOT_SUPPORTED;
    "sock_accept" (u32, u32, u32) NOT_SUPPORTED;
    "sock_recv" (u32, u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "sock_send" (u32, u32, u32, u32, u32) NOT_SUPPORTED;
    "sock_shutdown" (u32, u32) NOT_SUPPORTED;
}
