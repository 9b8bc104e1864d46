//! `wasi:cli`: the environment from the deployment, output to the log, no input, no terminal, no arguments.

use super::drops;
use crate::abi;
use crate::memory::{Area, List, allocate, shrink, trap};
use crate::output;
use crate::pairs::Entry;
use crate::state::{State, state};

/// The handle of the stream that reads nothing.
const STDIN: u32 = 3;

#[unsafe(export_name = "wasi:cli/environment#get-environment")]
extern "C" fn get_environment(area: *mut u8) {
    // SAFETY: the caller gives room for a `list<tuple<string, string>>`.
    let area = unsafe { Area::new(area) };
    area.list(0, environment(state()));
}

/// The deployment's variables, split at their first `=`. One that is not UTF-8 cannot be told and is left out.
fn environment(state: &State) -> List {
    // SAFETY: both addresses are cells of the state.
    let failed = unsafe { abi::environ_sizes_get(state.data.as_ptr(), state.size.as_ptr()) };
    let (count, size) = (state.data.get() as usize, state.size.get() as usize);
    if failed != 0 || count == 0 {
        return List::empty(4);
    }
    let starts = state.scratch.reserve(count * 4 + size).cast::<u32>();
    // SAFETY: the buffer has room for as many addresses, and for the text behind them.
    let (text, failed) = unsafe {
        let text = starts.add(count).cast::<u8>();
        (text, abi::environ_get(starts, text))
    };
    if failed != 0 {
        return List::empty(4);
    }
    let list = allocate(4, count * size_of::<Entry>());
    let mut len = 0;
    // SAFETY: the host wrote that many bytes, each variable ending in a zero byte.
    let text = unsafe { crate::memory::bytes(text, size) };
    for variable in text.split(|byte| *byte == 0).take(count) {
        if !is_utf8(variable) {
            continue;
        }
        let split = variable
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(variable.len());
        let (name, value) = variable.split_at(split);
        let value = value.get(1..).unwrap_or_default();
        let entry = Entry {
            name: List::copied(name),
            value: List::copied(value),
        };
        // SAFETY: there is room for `count` entries and no more come.
        unsafe { list.cast::<Entry>().add(len).write(entry) };
        len += 1;
    }
    // Who frees a list says how large it is by how much is in it.
    let start = shrink(
        list,
        4,
        count * size_of::<Entry>(),
        len * size_of::<Entry>(),
    );
    List { start, len }
}

/// `core`'s own check looks into a table, which would be a data segment.
#[inline(never)]
fn is_utf8(text: &[u8]) -> bool {
    let (mut following, mut code, mut least) = (0, 0, 0);
    for byte in text {
        let (ones, bits) = (byte.leading_ones(), u32::from(*byte));
        match (following, ones) {
            // The first byte says how many follow, and a code has the shortest form that it can have.
            (0, 0 | 2..=4) => {
                following = ones.saturating_sub(1);
                code = bits & (0x7f >> ones);
                least = match ones {
                    0 => 0,
                    2 => 1 << 7,
                    _ => 1 << (5 * ones - 4),
                };
            }
            (1.., 1) => {
                following -= 1;
                code = code << 6 | bits & 0x3f;
            }
            _ => return false,
        }
        if following == 0 && (code < least || char::from_u32(code).is_none()) {
            return false;
        }
    }
    following == 0
}

#[unsafe(export_name = "wasi:cli/environment#get-arguments")]
extern "C" fn get_arguments(area: *mut u8) {
    // SAFETY: the caller gives room for a `list<string>`.
    unsafe { Area::new(area) }.list(0, List::empty(4));
}

#[unsafe(export_name = "wasi:cli/environment#initial-cwd")]
extern "C" fn initial_cwd(area: *mut u8) {
    none(area);
}

#[unsafe(export_name = "wasi:cli/exit#exit")]
extern "C" fn exit(status: u32) {
    leave(status);
}

#[unsafe(export_name = "wasi:cli/exit#exit-with-code")]
extern "C" fn exit_with_code(code: u32) {
    leave(code);
}

/// Ends the instance. The host's own exit only logs, so a trap follows.
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
extern "C" fn get_terminal_stdin(area: *mut u8) {
    none(area);
}

#[unsafe(export_name = "wasi:cli/terminal-stdout#get-terminal-stdout")]
extern "C" fn get_terminal_stdout(area: *mut u8) {
    none(area);
}

#[unsafe(export_name = "wasi:cli/terminal-stderr#get-terminal-stderr")]
extern "C" fn get_terminal_stderr(area: *mut u8) {
    none(area);
}

fn none(area: *mut u8) {
    // SAFETY: the caller gives room for an option.
    unsafe { Area::new(area) }.byte(0, 0);
}

drops! {
    "wasi:cli/terminal-input#[resource-drop]terminal-input";
    "wasi:cli/terminal-output#[resource-drop]terminal-output";
}
