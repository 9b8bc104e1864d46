//! Write a proxy plugin in Rust once and run it in Tidegate's own proxy, in Envoy and in Istio.
//!
//! A plugin is a type that implements [`Plugin`], with the [`#[plugin]`](macro@plugin) attribute on the impl block.
//! This page is a tutorial: it starts with a minimal plugin and then adds configuration, state and tests.
//!
//! # A first plugin
//!
//! Create a library crate with crate type `cdylib`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]   # only this one: with an additional rlib, cargo disables cross-crate optimization (LTO)
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! tidegate-guest = { path = "../tidegate/guest/sdk" }   # not on crates.io yet
//! ```
//!
//! The plugin itself is in `lib.rs`:
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
//! `cargo build --target wasm32-wasip2 --release` builds a WebAssembly component, `tidegate run` runs it, and
//! `tidegate adapt` converts it into a module for Envoy. The proxy calls only the callbacks that the impl block defines, and the
//! component imports only the hostcalls that the code uses. `tidegate inspect` lists both.
//!
//! # Configuration
//!
//! [`Plugin::Config`] is a serde type, and the configuration is JSON. Deny unknown fields, so that a misspelled field
//! is reported when the plugin is deployed. Checks that serde cannot express belong in `configure`, which reports the
//! path and the reason.
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
//! An invalid configuration is rejected with an error message for the operator, for example
//! `header: expected a header name, got "x y"`. An absent configuration is treated as `{}`.
//!
//! `#[plugin(schema = "config.schema.json")]` embeds a JSON Schema in the plugin. The path is relative to the directory
//! of `Cargo.toml`. A test can generate the file from the configuration type with the `schemars` crate, as in
//! `guest/plugins/rate-limit`.
//!
//! # State
//!
//! A single plugin value handles all streams of a worker, one callback at a time. Callbacks borrow it immutably, so
//! mutable state belongs in a [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell). Per-stream state belongs in
//! [`Stream`](Plugin::Stream), which callbacks receive as a mutable reference. Its initial value is the default of its type, or the value
//! that [`on_stream`](Plugin::on_stream) returns, which is called immediately before the first callback of the stream. Do not keep state in
//! a `static`: if a plugin is deployed twice with different configurations, both can run in the same instance.
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
//!     fn on_stream(&self, _: &HttpStream) -> Began {
//!         Began(clock::now())
//!     }
//!
//!     fn on_request_headers(&self, _: &mut Began, _: &mut HttpStream, _: EndOfStream) -> Action {
//!         Action::Continue
//!     }
//!
//!     fn on_log(&self, began: &mut Began, http: &mut HttpStream) {
//!         let took = clock::now().saturating_sub(began.0);
//!         if took > self.slowest.get() {
//!             self.slowest.set(took);
//!             let path = http.path().ok().flatten().unwrap_or_default();
//!             log::info!("{path} took {took} ns, the longest so far");
//!         }
//!     }
//! }
//! ```
//!
//! The plugin implements `on_request_headers` so that its stream state, with the time, is created when the request begins.
//!
//! Use [`shared_data`] to share data between workers, [`shared_queues`] to pass data from all workers to one of them, and
//! [`metrics`] for counters, gauges and histograms of the whole proxy. Use
//! [stream properties](HttpStream::set_property) to pass per-stream data to later plugins in the chain. Stream properties
//! also expose proxy attributes other than headers and body, and [`attributes`] reads the most common of them:
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
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         if let Some(client) = attributes::source_address(http)? {
//!             http.set_property("mark.client", client)?;
//!         }
//!         Ok(Action::Continue)
//!     }
//! }
//! ```
//!
//! [`plugin_properties`] exposes the name of the plugin and other attributes that need no stream, also in `configure`.
//! [`vm_configuration`] is a second configuration, which all plugins in an instance share.
//!
//! # Local responses, pausing and bodies
//!
//! [`HttpStream::respond`] responds to the request without contacting the upstream. [`Action::Pause`] pauses the
//! stream until [`HttpStream::resume`] is called. If a body callback pauses, the body is buffered.
//!
//! This plugin passes a body on when it is complete. Each callback searches everything that has been received so far. It is not enough to
//! search at the end, because no body callback has [`EndOfStream::Yes`] if trailers follow.
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
//!     fn on_request_body(
//!         &self,
//!         _: &mut (),
//!         http: &mut HttpStream,
//!         _: u32,
//!         end: EndOfStream,
//!     ) -> Result<Action, Error> {
//!         let body = http.request_body().read_all()?;
//!         if body.windows(6).any(|word| word == b"secret") {
//!             let refusal = LocalResponse::new(403).body("no secrets, please").details("secret");
//!             return http.respond(refusal);
//!         }
//!         Ok(if end.is_end() { Action::Continue } else { Action::Pause })
//!     }
//! }
//! ```
//!
//! # Trailers
//!
//! Trailers are fields that follow a body. gRPC uses them: the status of a call is in the trailers of the response.
//! [`on_request_trailers`](Plugin::on_request_trailers) and [`on_response_trailers`](Plugin::on_response_trailers) are called
//! for messages that have trailers. There, [`HttpStream::request_trailers`] and [`HttpStream::response_trailers`] can be read
//! and changed. Trailers end their message, so no body callback of that message has [`EndOfStream::Yes`].
//!
//! A plugin can add trailers to a message that has a body and no trailers: in the body callback that has
//! [`EndOfStream::Yes`], every method that changes the trailers creates them. Later plugins in the chain get them like
//! received ones. The callback for trailers of this plugin is not called. A plugin that sets a trailer in every message
//! therefore does so in two callbacks:
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct Measure;
//!
//! #[plugin]
//! impl Plugin for Measure {
//!     type Config = ();
//!     /// The number of bytes so far.
//!     type Stream = u64;
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Measure)
//!     }
//!
//!     fn on_response_headers(&self, _: &mut u64, http: &mut HttpStream, _: EndOfStream) -> Action {
//!         // With a `content-length`, HTTP/1.1 has no trailers.
//!         http.response_headers().remove("content-length").or_log("remove a header");
//!         Action::Continue
//!     }
//!
//!     fn on_response_body(&self, bytes: &mut u64, http: &mut HttpStream, size: u32, end: EndOfStream) -> Action {
//!         *bytes += u64::from(size);
//!         if end.is_end() {
//!             http.response_trailers().set("x-bytes", bytes.to_string()).or_log("add a trailer");
//!         }
//!         Action::Continue
//!     }
//!
//!     fn on_response_trailers(&self, bytes: &mut u64, http: &mut HttpStream) -> Action {
//!         http.response_trailers().set("x-bytes", bytes.to_string()).or_log("set a trailer");
//!         Action::Continue
//!     }
//! }
//! ```
//!
//! Proxies do not pass on every trailer. Envoy transfers trailers with HTTP/1.1 only if its configuration sets
//! `enable_trailers`.
//!
//! # HTTP calls and timers
//!
//! [`HttpStream::call`] sends a request to another service, and the outcome is passed to
//! [`on_http_call_response`](Plugin::on_http_call_response). The service is named by its cluster, which is part of the
//! proxy's configuration. This plugin pauses each request until an authorization service has decided about it:
//!
//! ```
//! use std::time::Duration;
//!
//! use tidegate_guest::http_calls::Request;
//! use tidegate_guest::prelude::*;
//!
//! struct Authorization;
//!
//! #[plugin]
//! impl Plugin for Authorization {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Authorization)
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         let request = Request::get("auth.internal", "/check").headers_from(http.request_headers())?;
//!         http.call("auth", request, Duration::from_millis(500))?;
//!         Ok(Action::Pause)
//!     }
//!
//!     fn on_http_call_response(
//!         &self,
//!         _: &mut (),
//!         http: &mut HttpStream,
//!         _: CallId,
//!         outcome: Outcome,
//!     ) -> Result<(), Error> {
//!         match outcome {
//!             Outcome::Response(response) if response.status() == Some(200) => http.resume(Direction::Request),
//!             _ => http.send_response(LocalResponse::new(403)),
//!         }
//!     }
//! }
//! ```
//!
//! If a call cannot be sent, no outcome follows, so the plugin must not leave the stream paused. Here, `?` [ends it](#errors). A service
//! that cannot be reached is reported as a response with status 503. [`http_calls`] describes the outcomes, and has an example that
//! passes on headers of the service's response.
//!
//! [`http_calls::send`] sends a request that belongs to no stream. With [`timers`], a plugin can do so regularly, and
//! refresh data before requests need them.
//!
//! # The end of a plugin
//!
//! [`on_plugin_done`](Plugin::on_plugin_done) is called when the proxy is about to drop the plugin, for example because another
//! configuration has replaced it. A plugin that has something left to do can ask the proxy to wait, and reports with
//! [`plugin_lifecycle::done`] that it is done.
//!
//! # Functions of the proxy
//!
//! [`foreign_functions`] calls functions that Envoy provides beyond this crate, for example to select the route of a request
//! again.
//!
//! # Errors
//!
//! Hostcalls return a [`Result`] whose [`Error`] gives the reason for a failure. A hostcall never terminates the plugin
//! because it was called at the wrong time or with the wrong target.
//!
//! A callback that returns an action may return [`Action`] or [`Result<Action, E>`](Result), where `E` is [`Error`] or any other type
//! that implements [`Display`](std::fmt::Display). [`on_http_call_response`](Plugin::on_http_call_response) may return nothing or
//! `Result<(), E>`. If a callback returns an error, it is logged once, at level error, with the name of the callback. Then the stream
//! ends with a response with status 503, whose details in access logs are `plugin_error`. If a response has begun, the stream is reset.
//!
//! With `#[plugin(on_error = "continue")]`, the stream continues instead, and after `on_http_call_response` it is resumed. Use this if a
//! request may pass without the plugin. A plugin that decides whether a request is allowed must not use it.
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct Search;
//!
//! #[plugin(on_error = "continue")]
//! impl Plugin for Search {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Search)
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         if let Some(term) = http.query("q")? {
//!             http.request_headers().set("x-search-term", term)?;
//!         }
//!         Ok(Action::Continue)
//!     }
//! }
//! ```
//!
//! Use [`OrLog::or_log`] for failures after which the callback continues, and in the other callbacks, where a failure can only be logged.
//!
//! # Tests
//!
//! With the feature `testing`, `cargo test` calls the callbacks of a plugin without a proxy. Add it to the development dependencies, so that
//! it is not a feature of the plugin itself:
//!
//! ```toml
//! [dev-dependencies]
//! tidegate-guest = { path = "../tidegate/guest/sdk", features = ["testing"] }
//! ```
//!
//! `testing::Proxy` configures the plugin and passes it requests and responses:
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use tidegate_guest::prelude::*;
//! use tidegate_guest::testing::{Message, Proxy, Refused};
//!
//! struct NoDelete;
//!
//! #[plugin]
//! impl Plugin for NoDelete {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(NoDelete)
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         match http.method()?.as_deref() {
//!             Some("DELETE") => http.respond(LocalResponse::new(405)),
//!             _ => Ok(Action::Continue),
//!         }
//!     }
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn nothing_can_be_deleted() -> Result<(), Refused> {
//!     let proxy = Proxy::<NoDelete>::new("")?;
//!     let stream = proxy.request(Message::request("DELETE", "/orders/7"));
//!     assert_eq!(stream.request(), None, "nothing reaches the upstream");
//!     assert_eq!(stream.response().and_then(|it| it.status()), Some(405));
//!     Ok(())
//! }
//! # nothing_can_be_deleted().unwrap();
//! ```
//!
//! The hostcalls are implemented by the code of Tidegate's own proxy. A test can also answer HTTP calls, advance the clock, add values to
//! queues, and read log lines and metrics: the module `testing` has examples, and `guest/examples/ext-auth` tests a plugin that calls a service.
//!
//! Without the feature, hostcalls panic under `cargo test`. Put logic that needs no proxy into a separate module. It receives its inputs as
//! arguments, for example the time or the value of a header, and returns a decision; see `guest/plugins/rate-limit`. [`read_config`] parses
//! a configuration in a test exactly as in a proxy. Scenarios (`tidegate test`) run the compiled plugin in Tidegate's proxy and in Envoy.
//!
//! # Features
//!
//! * `http`: conversions from and to the types of the `http` crate. [`HttpStream`] has the methods `http_method`, `uri` and
//!   `status_code`, [`Fields`] has `header_map` and `replace_headers`, and requests and responses are converted with `into`.
//! * `log`: the function `log::install` passes messages of the `log` crate to the proxy.
//! * `testing`: the module `testing`, a proxy for unit tests. It does not exist on WebAssembly targets.
//!
//! # Panics
//!
//! A panic terminates the instance and with it every stream that the instance is serving. The proxy then starts a new
//! instance. Prefer `get` to indexing and `?` to `unwrap`; this also makes modules smaller. The SDK code between the
//! proxy and the plugin does not panic.

pub mod attributes;
mod bindings;
mod body;
mod callback_result;
pub mod clock;
mod config;
mod cookies;
mod duration;
mod failure;
mod field;
mod fields;
pub mod foreign_functions;
mod glue;
pub mod http_calls;
#[cfg(feature = "http")]
mod http_crate;
mod http_stream;
mod ip_address;
mod local_response;
pub mod log;
pub mod metrics;
mod or_log;
mod plugin;
pub mod plugin_lifecycle;
pub mod plugin_properties;
mod property;
mod query;
pub mod shared_data;
pub mod shared_queues;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;
pub mod timers;
pub mod vm_configuration;

pub use bindings::types::Error;
pub use body::Body;
pub use callback_result::CallbackResult;
pub use config::{ConfigError, read_config};
pub use field::{FieldName, FieldValue};
pub use fields::Fields;
pub use http_stream::{Direction, HttpStream};
pub use local_response::LocalResponse;
pub use or_log::OrLog;
pub use plugin::{Action, Completion, EndOfStream, Plugin};
pub use tidegate_guest_macros::plugin;

/// Re-exports everything that a plugin needs, for a single `use`.
pub mod prelude {
    pub use crate::http_calls::{CallId, Outcome};
    pub use crate::shared_queues::QueueId;
    pub use crate::{
        Action, Body, Completion, ConfigError, Direction, EndOfStream, Error, FieldName,
        FieldValue, Fields, HttpStream, LocalResponse, OrLog, Plugin, attributes, clock,
        foreign_functions, http_calls, log, metrics, plugin, plugin_lifecycle, plugin_properties,
        shared_data, shared_queues, timers, vm_configuration,
    };
}

/// Items used by the expansion of `#[plugin]`. Not part of the public API; they can change without notice.
#[doc(hidden)]
pub mod __private {
    pub use std::{result::Result, string::String, vec::Vec};

    pub use tidegate_guest_macros::ExportPlugin;
    pub use wit_bindgen;

    pub use crate::glue::{
        Context, DefaultStream, Filter, configure_from_json, configure_without, exported,
    };
    pub use crate::plugin::Exports;

    pub use crate::http_stream::{handle, stream};

    pub mod bindings {
        pub use crate::bindings::{http_call_types, http_streams, types};
    }
}

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
