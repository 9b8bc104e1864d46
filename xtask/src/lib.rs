//! Running programs, building plugins and asking servers: what `cargo xtask` and the end-to-end tests share.

pub mod guests;
pub mod http;
pub mod setup;
pub mod shell;
pub mod workspace;
