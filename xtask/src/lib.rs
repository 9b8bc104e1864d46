//! Runs programs, builds plugins and sends requests, for `cargo xtask` and the end-to-end tests.

pub mod guests;
pub mod http;
pub mod setup;
pub mod shell;
pub mod workspace;
