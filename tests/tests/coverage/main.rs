//! Walks the contract and fails for every function that lacks one of its parts, naming the file to write.
//!
//! `wit/` is the one list from which everything else follows: a function that the world imports has a meaning in
//! `host/semantics/src/hostcalls`, a link in each engine, a bridge in `adapter/bridge/src`, a scenario, an operation of the probe and a call in the SDK;
//! one that it exports has a caller in both engines, a bridge, a scenario, and a method in the SDK and in the probe. Each file has the stem of
//! the WIT interface. Each interface has a user among the plugins in JavaScript, Python and Go. The pages that list functions list all of
//! them. Whether what is there is right, the scenarios say.
//!
//! What the compiler names is not checked here: a trait that lacks a function, a `match` that lacks a case.

mod contract;
mod pages;
mod plugins;
mod runtimes;
mod sources;
