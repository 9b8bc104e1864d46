//! `wasi:io`: two output streams that accept everything, one input stream that is closed, and pollables that are always
//! ready.

use super::macros::{drops, unreachable_functions};
use crate::memory::{List, RetPtr, allocate, bytes};
use crate::output;
use crate::state::state;

/// The handle of every pollable.
pub(super) const POLLABLE: u32 = 1;

/// The number of bytes that may be written at once. Any number would work; runtimes size their buffers for this one.
const WRITABLE: u64 = 1 << 16;

/// The case `closed` of `stream-error`.
const CLOSED: u8 = 1;

drops! {
    "wasi:io/error#[resource-drop]error";
    "wasi:io/poll#[resource-drop]pollable";
    "wasi:io/streams#[resource-drop]input-stream";
    "wasi:io/streams#[resource-drop]output-stream";
}

unreachable_functions! {
    "wasi:io/error#[method]error.to-debug-string" (u32, *mut u8);
}

#[unsafe(export_name = "wasi:io/poll#[method]pollable.ready")]
extern "C" fn ready(_: u32) -> u32 {
    1
}

#[unsafe(export_name = "wasi:io/poll#[method]pollable.block")]
extern "C" fn block(_: u32) {}

#[unsafe(export_name = "wasi:io/poll#poll")]
extern "C" fn poll(_: *const u32, len: usize, ret: *mut u8) {
    let start = allocate(4, len.saturating_mul(4));
    for index in 0..len {
        // SAFETY: there is room for `len` numbers.
        unsafe { start.cast::<u32>().add(index).write(index as u32) };
    }
    // SAFETY: the caller provides space for a `list<u32>`.
    unsafe { RetPtr::new(ret) }.list(0, List { start, len });
}

#[unsafe(export_name = "wasi:io/streams#[method]input-stream.read")]
extern "C" fn read(_: u32, _: u64, ret: *mut u8) {
    closed(ret, 4);
}

#[unsafe(export_name = "wasi:io/streams#[method]input-stream.blocking-read")]
extern "C" fn blocking_read(_: u32, _: u64, ret: *mut u8) {
    closed(ret, 4);
}

#[unsafe(export_name = "wasi:io/streams#[method]input-stream.skip")]
extern "C" fn skip(_: u32, _: u64, ret: *mut u8) {
    closed(ret, 8);
}

#[unsafe(export_name = "wasi:io/streams#[method]input-stream.blocking-skip")]
extern "C" fn blocking_skip(_: u32, _: u64, ret: *mut u8) {
    closed(ret, 8);
}

#[unsafe(export_name = "wasi:io/streams#[method]input-stream.subscribe")]
extern "C" fn subscribe_input(_: u32) -> u32 {
    POLLABLE
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.check-write")]
extern "C" fn check_write(_: u32, ret: *mut u8) {
    // SAFETY: the caller provides space for a `result<u64, stream-error>`.
    let ret = unsafe { RetPtr::new(ret) };
    ret.byte(0, 0);
    ret.long(8, WRITABLE);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.write")]
extern "C" fn write(stream: u32, text: *const u8, text_len: usize, ret: *mut u8) {
    print(stream, text, text_len, ret);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.blocking-write-and-flush")]
extern "C" fn blocking_write_and_flush(
    stream: u32,
    text: *const u8,
    text_len: usize,
    ret: *mut u8,
) {
    print(stream, text, text_len, ret);
}

fn print(stream: u32, text: *const u8, text_len: usize, ret: *mut u8) {
    let stream = if stream == output::Stream::Stderr as u32 {
        output::Stream::Stderr
    } else {
        output::Stream::Stdout
    };
    // SAFETY: the text belongs to the guest and is valid for the duration of the call.
    output::write(state(), stream, unsafe { bytes(text, text_len) });
    done(ret);
}

/// An incomplete line stays buffered, because runtimes flush after every piece.
#[unsafe(export_name = "wasi:io/streams#[method]output-stream.flush")]
extern "C" fn flush(_: u32, ret: *mut u8) {
    done(ret);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.blocking-flush")]
extern "C" fn blocking_flush(_: u32, ret: *mut u8) {
    done(ret);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.subscribe")]
extern "C" fn subscribe_output(_: u32) -> u32 {
    POLLABLE
}

/// Nothing is written, because a log cannot show zero bytes.
#[unsafe(export_name = "wasi:io/streams#[method]output-stream.write-zeroes")]
extern "C" fn write_zeroes(_: u32, _: u64, ret: *mut u8) {
    done(ret);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush")]
extern "C" fn blocking_write_zeroes_and_flush(_: u32, _: u64, ret: *mut u8) {
    done(ret);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.splice")]
extern "C" fn splice(_: u32, _: u32, _: u64, ret: *mut u8) {
    closed(ret, 8);
}

#[unsafe(export_name = "wasi:io/streams#[method]output-stream.blocking-splice")]
extern "C" fn blocking_splice(_: u32, _: u32, _: u64, ret: *mut u8) {
    closed(ret, 8);
}

/// Stores the ok of a `result<_, stream-error>`.
fn done(ret: *mut u8) {
    // SAFETY: the caller provides space for one.
    unsafe { RetPtr::new(ret) }.byte(0, 0);
}

/// Stores the error `closed` of a `result<T, stream-error>` whose payload begins at `offset`.
fn closed(ret: *mut u8, offset: usize) {
    // SAFETY: the caller provides space for one.
    let ret = unsafe { RetPtr::new(ret) };
    ret.byte(0, 1);
    ret.byte(offset, CLOSED);
}
