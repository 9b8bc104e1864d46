//! Passes what a plugin's runtime prints to the host's log, line by line: standard output at level `info`, standard
//! error at level `error`.

use crate::abi::{LEVEL_ERROR, LEVEL_INFO};
use crate::state::State;

/// The stream that a plugin prints to. The numbers are its handles in `wasi:io/streams`. 0 is not used as a handle,
/// because several runtimes treat it as an absent one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// Prints `text`. Complete lines are logged, and the rest is buffered.
pub(crate) fn write(state: &State, to: Stream, text: &[u8]) {
    let (lines, level) = match to {
        Stream::Stdout => (&state.stdout, LEVEL_INFO),
        Stream::Stderr => (&state.stderr, LEVEL_ERROR),
    };
    lines.write(&state.arena, level, text);
}

/// Logs the incomplete lines.
pub(crate) fn flush(state: &State) {
    state.stdout.finish(LEVEL_INFO);
    state.stderr.finish(LEVEL_ERROR);
}
