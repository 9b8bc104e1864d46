//! The memory of `tidegate run` with idle connections and with large bodies.
//!
//! By default, the numbers are small, and the tool is the one that was built with the tests. `cargo xtask soak connections` and
//! `cargo xtask soak bodies` set larger numbers in `TIDEGATE_CONNECTIONS` and `TIDEGATE_BODY_MIB`, and the tool that is built for releases in
//! `TIDEGATE_TOOL`. The sizes of processes are only available on Linux.

#![cfg(target_os = "linux")]

mod bodies;
mod connections;
mod server;

/// Returns the number in an environment variable.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number")),
    )
}
