//! Tidegate's host: a reverse proxy that runs plugins with wasmtime.
//!
//! What an HTTP stream means (phases, buffers, pause and resume, local responses, the order of the chain) is in
//! [`stream`], written once, without any I/O. What each hostcall means is in `hostcalls`, one file for each WIT interface.
//! Two thin front ends speak to them: `engine::component` runs components of the world `tidegate:proxy/http-plugin`,
//! `engine::proxy_wasm` runs Proxy-Wasm core modules. `proxy` carries streams over HTTP.
//!
//! The way through: [`Runtime::load`] compiles [`PluginSpec`]s into a [`Chain`], [`Chain::start_worker`] instantiates it
//! for one worker thread, [`WorkerChain::open`] gives the [`Stream`] of one request, which is fed events and gives
//! [`Effect`]s.
//!
//! [`observe`] is for who wants to see what plugins do on the way; without an observer nothing of it is made.
//!
//! This library prints nothing, reads no files and knows nothing of command lines: those are `host/cli`. It takes
//! adapted modules as it takes any other, and does not know the adapter.

pub mod attributes;
mod bindings;
pub mod clock;
mod engine;
pub mod fields;
mod hostcalls;
pub mod limits;
pub mod logs;
pub mod observe;
pub mod plugin;
pub mod proxy;
mod random;
pub mod runtime;
pub mod shared_data;
pub mod stream;
mod wasi;
mod worker;

pub use attributes::Attributes;
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::{CodeCache, UNSUPPORTED as UNSUPPORTED_HOSTCALLS};
pub use fields::{Fields, Name, Pseudo};
pub use limits::Limits;
pub use logs::{Level, LogLine, LogSink};
pub use observe::Observer;
pub use plugin::{EngineKind, FailPolicy, PluginSpec};
pub use proxy::{EchoServer, ServeError, Server, ServerConfig, Upstream};
pub use runtime::{Chain, LoadError, Runtime, RuntimeConfig, StartError, WorkerChain};
pub use shared_data::SharedData;
pub use stream::{Effect, Stream};
