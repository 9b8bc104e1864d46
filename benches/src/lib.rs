//! Shared code of the benches: the plugins that are measured, a head with twelve headers, and the load comparison.
//!
//! The benches are in `benches/`: `callback`, `instantiate` and `adapt` use criterion; `rps` puts load on whole servers and prints a table;
//! `reload` measures how soon a change is served. Plugins are built from the sources that the tests use, with `profile.plugin`, so that the
//! figures apply to what users ship.
//!
//! Without `--bench`, as in `cargo test --benches`, each bench runs briefly to show that it works.

#[cfg(target_os = "linux")]
pub mod affinity;
#[cfg(target_os = "linux")]
pub mod candidate;
pub mod load;
pub mod messages;
pub mod modules;
pub mod paired;
#[cfg(target_os = "linux")]
pub mod process;
pub mod statistics;
pub mod table;
#[cfg(target_os = "linux")]
pub mod verify;
