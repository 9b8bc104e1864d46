//! What a plugin's runtime prints, on its way to the host's log: line by line, standard output at level `info`, standard
//! error at `error`.

use crate::abi::{LEVEL_ERROR, LEVEL_INFO};
use crate::state::State;

/// Where a plugin prints to. The numbers are handles of `wasi:io/streams`; 0 is none, because several runtimes take it for
/// an absent handle.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stream {
    Stdout = 1,
    Stderr = 2,
}

/// Prints.
pub(crate) fn write(state: &State, to: Stream, text: &[u8]) {
    let (lines, level) = match to {
        Stream::Stdout => (&state.stdout, LEVEL_INFO),
        Stream::Stderr => (&state.stderr, LEVEL_ERROR),
    };
    lines.write(&state.arena, level, text);
}

/// Logs what has no newline yet.
pub(crate) fn flush(state: &State) {
    state.stdout.finish(LEVEL_INFO);
    state.stderr.finish(LEVEL_ERROR);
}
