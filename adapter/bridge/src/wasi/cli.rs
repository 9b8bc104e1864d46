//! `wasi:cli`: the environment from the deployment, output to the log, no input, no terminal, no arguments.

use super::macros::drops;
use crate::abi::{self, trap};
use crate::memory::{List, RetPtr, allocate, bytes};
use crate::output;
use crate::pairs::Entry;
use crate::state::{State, state};
use crate::text::is_utf8;

/// The handle of standard input, from which nothing can be read.
const STDIN: u32 = 3;

#[unsafe(export_name = "wasi:cli/environment#get-environment")]
extern "C" fn get_environment(ret: *mut u8) {
    // SAFETY: the caller provides space for a `list<tuple<string, string>>`.
    let ret = unsafe { RetPtr::new(ret) };
    ret.list(0, environment(state()));
}

/// The deployment's variables, split at their first `=`. A variable that is not UTF-8 is left out.
fn environment(state: &State) -> List {
    // SAFETY: both addresses point to cells of the state.
    let failed = unsafe { abi::environ_sizes_get(state.data.as_ptr(), state.size.as_ptr()) };
    let (count, size) = (state.data.get() as usize, state.size.get() as usize);
    if failed != 0 || count == 0 {
        return List::empty(4);
    }
    let starts = state.scratch(count * 4 + size).cast::<u32>();
    // SAFETY: the buffer has room for that many addresses, and for the text after them.
    let (text, failed) = unsafe {
        let text = starts.add(count).cast::<u8>();
        (text, abi::environ_get(starts, text))
    };
    if failed != 0 {
        return List::empty(4);
    }
    // SAFETY: the host wrote that many bytes, each variable ending in a zero byte.
    let text = unsafe { bytes(text, size) };
    // The entries are counted before the list is allocated, because the guest derives the size to free from the list's
    // length.
    let mut list = List {
        start: core::ptr::null(),
        len: 0,
    };
    for pass in 0..2 {
        let mut len = 0;
        for variable in text.split(|byte| *byte == 0).take(count) {
            if !is_utf8(variable) {
                continue;
            }
            if pass == 1 {
                // SAFETY: there is room for as many as the first pass counted.
                unsafe {
                    list.start
                        .cast_mut()
                        .cast::<Entry>()
                        .add(len)
                        .write(entry(variable))
                };
            }
            len += 1;
        }
        if pass == 0 {
            list.start = allocate(4, len * size_of::<Entry>());
            list.len = len;
        }
    }
    list
}

/// A variable's name and value.
fn entry(variable: &[u8]) -> Entry {
    let split = variable
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(variable.len());
    let (name, value) = variable.split_at(split);
    Entry {
        name: List::copied(name, allocate),
        value: List::copied(value.get(1..).unwrap_or_default(), allocate),
    }
}

#[unsafe(export_name = "wasi:cli/environment#get-arguments")]
extern "C" fn get_arguments(ret: *mut u8) {
    // SAFETY: the caller provides space for a `list<string>`.
    unsafe { RetPtr::new(ret) }.list(0, List::empty(4));
}

#[unsafe(export_name = "wasi:cli/environment#initial-cwd")]
extern "C" fn initial_cwd(ret: *mut u8) {
    none(ret);
}

#[unsafe(export_name = "wasi:cli/exit#exit")]
extern "C" fn exit(status: u32) {
    leave(status);
}

#[unsafe(export_name = "wasi:cli/exit#exit-with-code")]
extern "C" fn exit_with_code(code: u32) {
    leave(code);
}

/// Ends the instance. The host's `proc_exit` only logs, so a trap follows.
pub(crate) fn leave(code: u32) -> ! {
    output::flush(state());
    abi::proc_exit(code);
    trap()
}

#[unsafe(export_name = "wasi:cli/stdin#get-stdin")]
extern "C" fn get_stdin() -> u32 {
    STDIN
}

#[unsafe(export_name = "wasi:cli/stdout#get-stdout")]
extern "C" fn get_stdout() -> u32 {
    output::Stream::Stdout as u32
}

#[unsafe(export_name = "wasi:cli/stderr#get-stderr")]
extern "C" fn get_stderr() -> u32 {
    output::Stream::Stderr as u32
}

#[unsafe(export_name = "wasi:cli/terminal-stdin#get-terminal-stdin")]
extern "C" fn get_terminal_stdin(ret: *mut u8) {
    none(ret);
}

#[unsafe(export_name = "wasi:cli/terminal-stdout#get-terminal-stdout")]
extern "C" fn get_terminal_stdout(ret: *mut u8) {
    none(ret);
}

#[unsafe(export_name = "wasi:cli/terminal-stderr#get-terminal-stderr")]
extern "C" fn get_terminal_stderr(ret: *mut u8) {
    none(ret);
}

fn none(ret: *mut u8) {
    // SAFETY: the caller provides space for an option.
    unsafe { RetPtr::new(ret) }.byte(0, 0);
}

drops! {
    "wasi:cli/terminal-input#[resource-drop]terminal-input";
    "wasi:cli/terminal-output#[resource-drop]terminal-output";
}
