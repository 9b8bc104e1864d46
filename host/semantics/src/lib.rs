//! What plugins can observe: the semantics of an HTTP stream and of the hostcalls, implemented once.
//!
//! This crate depends on neither WebAssembly nor an async runtime. `tidegate-host`, the proxy, runs plugins in it with wasmtime, and
//! `tidegate-guest`, the SDK, runs a plugin in its own unit tests. Use those crates: the API of this one follows what they need.
//!
//! [`stream`] is one HTTP stream as a state machine without I/O: phases, buffers, pause and resume, local responses, the order of the chain.
//! [`hostcalls`] contains the hostcalls, with one file for each WIT interface. [`engine`] is the trait of what runs a plugin, and [`port`]
//! that of what answers its HTTP calls and runs its timers.

pub mod attributes;
#[doc(hidden)]
pub mod clock;
pub mod clusters;
#[doc(hidden)]
pub mod context;
#[doc(hidden)]
pub mod engine;
pub mod error;
pub mod fields;
#[doc(hidden)]
pub mod hostcalls;
#[doc(hidden)]
pub mod inconsistency;
#[doc(hidden)]
pub mod instances;
pub mod limits;
pub mod logs;
pub mod metrics;
pub mod observe;
pub mod plugin;
pub mod plugin_stats;
#[doc(hidden)]
pub mod port;
#[doc(hidden)]
pub mod random;
pub mod shared_data;
pub mod shared_queues;
#[doc(hidden)]
pub mod state;
pub mod stream;
#[doc(hidden)]
pub mod vm;
#[doc(hidden)]
pub mod vocabulary;
