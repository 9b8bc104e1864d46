//! What the benches share: plugins to measure, a head of twelve headers, and the machinery of the load comparison.
//!
//! The benches themselves are in `benches/`: `callback`, `instantiate` and `adapt` are criterion's; `rps` puts load on whole
//! servers and prints a table, and `reload` says how soon an edit is served. What is measured is built here from the same
//! sources that the tests use, with `profile.plugin`, so that a figure is of what users ship.
//!
//! Without `--bench`, as `cargo test --bench '*'` calls them, all of them run for a moment, to show that they still work.

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
