//! WASI 0.2, as much of it as a proxy has: time, randomness, the environment, and output that goes to the log.
//!
//! Files and sockets are refused in the form that each function has for a refusal. Where it has none, and for what
//! could only be called on a handle that nothing here gives, the call traps. One file for each WASI package.

pub(crate) mod cli;
pub(crate) mod clocks;
mod filesystem;
mod io;
mod macros;
pub(crate) mod random;
mod sockets;
