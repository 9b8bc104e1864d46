//! Tests of the proxy over real sockets, mostly without plugins: how it forwards messages, and what it does when either
//! side misbehaves.
//!
//! Both sides are raw sockets, so that tests can send and see what no HTTP library would. Every read has a deadline, so a
//! test that waits in vain fails instead of hanging.

mod admin;
mod errors;
mod forward;
mod gone;
mod modules;
mod peers;
mod plugins;
mod reload;
mod restart;
mod shared;
mod stop;
mod streaming;
mod timeouts;
mod traps;
