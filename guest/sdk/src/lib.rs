//! Write a proxy plugin in Rust: once, for Tidegate's own proxy, for Envoy and for Istio.
//!
//! A plugin is a type that implements [`Plugin`], with [`#[plugin]`](macro@plugin) on the impl block. This page is the way
//! from nothing to one that is configured, keeps state and is tested.
//!
//! # A first plugin
//!
//! A library crate that is built as a `cdylib`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]   # and nothing else: with an rlib beside it, cargo optimises across crates no more
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! tidegate-guest = { path = "../tidegate/guest/sdk" }   # not on crates.io yet
//! ```
//!
//! and in its `lib.rs`:
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct Greeter;
//!
//! #[plugin]
//! impl Plugin for Greeter {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Greeter)
//!     }
//!
//!     fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
//!         http.response_headers().append("x-greeting", "hello").or_log("greet");
//!         Action::Continue
//!     }
//! }
//! ```
//!
//! `cargo build --target wasm32-wasip2 --release` makes a component of it, `tidegate run` runs that, `tidegate adapt`
//! makes a module for Envoy of it. The proxy calls only the callbacks that the impl block has, and the component asks
//! only for the hostcalls that the code makes: `tidegate inspect` lists both.
//!
//! # Configuration
//!
//! [`Plugin::Config`] is a serde type, and the configuration is JSON. Refuse unknown fields: a misspelt one is
//! then found when the plugin is deployed. What serde cannot tell, `configure` does, with the place and the reason.
//!
//! ```
//! use serde::Deserialize;
//! use tidegate_guest::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct GreeterConfig {
//!     header: FieldName,
//!     #[serde(default)]
//!     greeting: String,
//! }
//!
//! struct Greeter {
//!     config: GreeterConfig,
//! }
//!
//! #[plugin]
//! impl Plugin for Greeter {
//!     type Config = GreeterConfig;
//!     type Stream = ();
//!
//!     fn configure(config: GreeterConfig) -> Result<Self, ConfigError> {
//!         if config.header.is_pseudo() {
//!             return Err(ConfigError::at("header", "expected a header that clients see"));
//!         }
//!         Ok(Greeter { config })
//!     }
//!
//!     fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
//!         let greeting = http.response_headers().set(&self.config.header, &self.config.greeting);
//!         greeting.or_log("greet");
//!         Action::Continue
//!     }
//! }
//! ```
//!
//! A configuration that does not fit is refused in words for an operator: `header: expected a header name, got "x y"`.
//! None at all counts as `{}`.
//!
//! `#[plugin(schema = "config.schema.json")]` puts a JSON Schema into the plugin, from a file beside `Cargo.toml`; a test
//! can make that file of the type with the crate `schemars`, as `guest/plugins/headers` does.
//!
//! # State
//!
//! One value of the plugin sees all streams of a worker, one callback at a time, so it is borrowed: what changes is in a
//! [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell). What belongs to one stream is its
//! [`Stream`](Plugin::Stream), and callbacks may change it freely. Do not keep either in a `static`: a plugin that is
//! deployed twice with different configurations may run twice in one instance.
//!
//! ```
//! use std::cell::Cell;
//! use tidegate_guest::prelude::*;
//!
//! #[derive(Default)]
//! struct Timer {
//!     slowest: Cell<u64>,
//! }
//!
//! #[derive(Default)]
//! struct Began(u64);
//!
//! #[plugin]
//! impl Plugin for Timer {
//!     type Config = ();
//!     type Stream = Began;
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Timer::default())
//!     }
//!
//!     fn on_request_headers(&self, began: &mut Began, _: &mut HttpStream, _: EndOfStream) -> Action {
//!         began.0 = clock::now();
//!         Action::Continue
//!     }
//!
//!     fn on_log(&self, began: &mut Began, http: &mut HttpStream) {
//!         let took = clock::now().saturating_sub(began.0);
//!         if took > self.slowest.get() {
//!             self.slowest.set(took);
//!             let path = http.request_headers().get_str(":path").ok().flatten().unwrap_or_default();
//!             log::info!("{path} took {took} ns, the longest so far");
//!         }
//!     }
//! }
//! ```
//!
//! What workers must know of each other goes through [`shared_data`]. What plugins further on are to know of a stream goes
//! [with it](HttpStream::set_property), and so does what the proxy itself knows beside headers and body:
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct Mark;
//!
//! #[plugin]
//! impl Plugin for Mark {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Mark)
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Action {
//!         if let Ok(Some(client)) = http.property_str(&["source", "address"]) {
//!             http.set_property("mark.client", client).or_log("mark the stream");
//!         }
//!         Action::Continue
//!     }
//! }
//! ```
//!
//! # Answering, pausing, bodies
//!
//! [`HttpStream::send_response`] answers without asking upstream. [`Action::Pause`] holds a stream back until
//! [`HttpStream::resume`]; from a body callback it gathers the body.
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct NoSecrets;
//!
//! #[plugin]
//! impl Plugin for NoSecrets {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(NoSecrets)
//!     }
//!
//!     fn on_request_body(&self, _: &mut (), http: &mut HttpStream, _: u32, end: EndOfStream) -> Action {
//!         if !end.is_end() {
//!             return Action::Pause;
//!         }
//!         let body = http.request_body().read_all().unwrap_or_default();
//!         if body.windows(6).any(|word| word == b"secret") {
//!             let refusal = LocalResponse::new(403).body("no secrets, please").details("secret");
//!             http.send_response(refusal).or_log("refuse a secret");
//!             return Action::Pause;
//!         }
//!         Action::Continue
//!     }
//! }
//! ```
//!
//! Hostcalls answer a [`Result`] whose [`Error`] says why they were refused; none of them ends the plugin because of when, or on
//! what, it was made. Where a failure can only be reported, [`OrLog::or_log`] does that.
//!
//! # Tests
//!
//! A hostcall exists in a proxy only, and panics in `cargo test`. So let the plugin be thin: decisions go into a module
//! of their own that is handed what it needs (the time, a header's value) and says what is to be done. That module is
//! tested as any other; `guest/plugins/rate-limit` is written so. [`read_config`] gives a test the configuration as a
//! proxy would. What is left is tested where it runs: `tidegate run --upstream echo` and requests to it.
//!
//! # Panics
//!
//! A panic ends the instance, and with it every stream that it is serving; the proxy starts another one. Prefer
//! `get` to indexing and `?` to `unwrap`: it makes modules smaller, too. The code between the proxy and a plugin has no
//! panics of its own.

mod bindings;
mod body;
pub mod clock;
mod config;
mod field;
mod fields;
mod glue;
mod http_stream;
mod local_response;
pub mod log;
mod or_log;
mod plugin;
pub mod shared_data;

pub use bindings::types::Error;
pub use body::Body;
pub use config::{ConfigError, read_config};
pub use field::{FieldName, FieldValue};
pub use fields::Fields;
pub use http_stream::{Direction, HttpStream};
pub use local_response::LocalResponse;
pub use or_log::OrLog;
pub use plugin::{Action, EndOfStream, Plugin};
pub use tidegate_guest_macros::plugin;

/// Everything that a plugin names, in one `use`.
pub mod prelude {
    pub use crate::{
        Action, Body, ConfigError, Direction, EndOfStream, Error, FieldName, FieldValue, Fields,
        HttpStream, LocalResponse, OrLog, Plugin, clock, log, plugin, shared_data,
    };
}

/// What the expansion of `#[plugin]` names. Not for authors; it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use std::{result::Result, string::String, vec::Vec};

    pub use wit_bindgen;

    pub use crate::glue::{Context, Filter, configure_from_json, configure_without, exported};

    pub use crate::http_stream::handle;

    pub mod bindings {
        pub use crate::bindings::{http_streams, types};
    }
}

/// The README's example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
