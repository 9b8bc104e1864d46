//! WASI 0.2, as much of it as a proxy has: time, randomness, the environment, and output that goes to the log.
//!
//! Files and sockets are refused in the form that each function has for a refusal. Where it has none, and for what
//! could only be called on a handle that nothing here gives, the call traps. One file for each WASI package.

pub(crate) mod cli;
pub(crate) mod clocks;
mod filesystem;
mod io;
pub(crate) mod random;
mod sockets;

/// Declares functions that no plugin can call rightly, since nothing gives the handle that they want.
macro_rules! unreachable_functions {
    ($($name:literal ($($parameter:ty),*) $(-> $result:ty)?;)*) => {
        $(const _: () = {
            #[unsafe(export_name = $name)]
            extern "C" fn function($(_: $parameter),*) $(-> $result)? {
                $crate::abi::trap()
            }
        };)*
    };
}
use unreachable_functions;

/// Declares the drops of resources that hold nothing.
macro_rules! drops {
    ($($name:literal;)*) => {
        $(const _: () = {
            #[unsafe(export_name = $name)]
            extern "C" fn function(_: u32) {}
        };)*
    };
}
use drops;
