//! WASI 0.2, as far as a proxy supports it: time, randomness, the environment, and output, which goes to the log.
//!
//! Functions for files and sockets fail in the way that their types allow. If the type allows no failure, or if the
//! function takes a handle that nothing here returns, the call traps. There is one file for each WASI package.

pub(crate) mod cli;
pub(crate) mod clocks;
mod filesystem;
mod io;
mod macros;
pub(crate) mod random;
mod sockets;
