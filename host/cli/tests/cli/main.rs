//! The command line tool as it is run: exit codes, what goes to which stream, what is left on disk.
//!
//! Nothing here sleeps: a server is ready when it says so, and every wait has an end.

mod adapt;
#[cfg(unix)]
mod envoy;
mod manifest;
mod run;
mod tool;
mod usage;
