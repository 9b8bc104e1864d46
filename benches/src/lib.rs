//! Shared code of the benches: the plugins that are measured, messages with twelve headers, and the load comparison.
//!
//! The benches are in `benches/`: `callback`, `instantiate` and `adapt` use criterion; `rps` measures whole servers under load and prints
//! a table; `reload` measures the time until a change is served. Plugins are built from the sources that the tests use, with
//! `profile.plugin`, so that the results apply to released plugins.
//!
//! Without `--bench`, as in `cargo test --benches`, each bench runs briefly to check that it works.

#[cfg(target_os = "linux")]
pub mod affinity;
#[cfg(target_os = "linux")]
pub mod candidate;
#[cfg(target_os = "linux")]
pub mod latency;
pub mod load;
pub mod messages;
pub mod modules;
pub mod paired;
#[cfg(target_os = "linux")]
pub mod process;
pub mod statistics;
pub mod table;
pub mod upstream;
#[cfg(target_os = "linux")]
pub mod verify;
