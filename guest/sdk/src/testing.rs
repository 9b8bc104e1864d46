//! A proxy for a plugin's tests: `cargo test` runs the plugin's callbacks on this machine.
//!
//! [`Proxy`] configures a plugin and passes it requests, responses and events. The hostcalls are implemented by the code of Tidegate's own
//! proxy. They therefore return the same errors as there, for example if a field can no longer be changed or a body is too large. The test
//! provides what a real proxy receives from outside: the upstream's responses, the responses of other services, and the time.
//!
//! The module requires the feature `testing`. It does not exist on WebAssembly targets. Add the feature to the development dependencies:
//!
//! ```toml
//! [dev-dependencies]
//! tidegate-guest = { path = "../tidegate/guest/sdk", features = ["testing"] }
//! ```
//!
//! ```
//! use tidegate_guest::prelude::*;
//! use tidegate_guest::testing::{Message, Proxy, Refused};
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
//!     fn on_response_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         http.response_headers().append("x-greeting", "hello")?;
//!         Ok(Action::Continue)
//!     }
//! }
//!
//! # fn greets() -> Result<(), Refused> {
//! let proxy = Proxy::<Greeter>::new("")?;
//! let stream = proxy.request(Message::get("/"));
//! stream.respond(Message::response(200).body("content"));
//! let response = stream.response().expect("a response");
//! assert_eq!(response.value("x-greeting"), Some("hello"));
//! assert_eq!(response.content(), b"content");
//! # Ok(())
//! # }
//! # greets().unwrap();
//! ```
//!
//! # Streams
//!
//! [`Proxy::request`] passes a whole request to the plugin, and [`Stream::respond`] a whole response of the upstream. [`Proxy::open`] and the
//! methods of [`Stream`] that have the names of callbacks pass one part at a time. [`Stream::request`] is what the upstream has received so
//! far, and [`Stream::response`] what the client has received. While a callback pauses the stream, nothing is passed on:
//!
//! ```
//! # use tidegate_guest::prelude::*;
//! # use tidegate_guest::testing::{Message, Proxy, Refused};
//! # struct Upper;
//! # #[plugin]
//! # impl Plugin for Upper {
//! #     type Config = ();
//! #     type Stream = ();
//! #     fn configure(_: ()) -> Result<Self, ConfigError> { Ok(Upper) }
//! #     fn on_request_body(&self, _: &mut (), http: &mut HttpStream, _: u32, end: EndOfStream) -> Result<Action, Error> {
//! #         if !end.is_end() { return Ok(Action::Pause); }
//! #         let body = http.request_body().read_all()?.to_ascii_uppercase();
//! #         http.request_body().replace(body)?;
//! #         Ok(Action::Continue)
//! #     }
//! # }
//! # fn body_is_passed_on_when_it_is_complete() -> Result<(), Refused> {
//! let proxy = Proxy::<Upper>::new("")?;
//! let stream = proxy.open();
//! stream.request_headers(Message::post("/"), EndOfStream::No);
//! stream.request_body("hel", EndOfStream::No);
//! assert_eq!(stream.request().expect("headers").content(), b"");
//! stream.request_body("lo", EndOfStream::Yes);
//! assert_eq!(stream.request().expect("a request").content(), b"HELLO");
//! # Ok(())
//! # }
//! # body_is_passed_on_when_it_is_complete().unwrap();
//! ```
//!
//! # Services and time
//!
//! [`Proxy::builder`] defines the services that the plugin can call, each with a function that answers calls. The clock does not run by
//! itself. [`Proxy::advance`] advances it: timers fire, and calls that no service has answered reach their timeouts.
//!
//! ```
//! use std::time::Duration;
//!
//! # use tidegate_guest::http_calls::{self, Request};
//! # use tidegate_guest::prelude::*;
//! use tidegate_guest::testing::{Answer, Message, Proxy, Refused};
//!
//! # struct Refresher;
//! # #[plugin]
//! # impl Plugin for Refresher {
//! #     type Config = ();
//! #     type Stream = ();
//! #     fn configure(_: ()) -> Result<Self, ConfigError> {
//! #         timers::every(Duration::from_secs(60)).or_log("start the timer");
//! #         Ok(Refresher)
//! #     }
//! #     fn on_tick(&self) {
//! #         http_calls::send("keys", Request::get("keys", "/key"), Duration::from_secs(1)).or_log("send");
//! #     }
//! #     fn on_plugin_http_call_response(&self, _: CallId, outcome: Outcome) {
//! #         if let Outcome::Response(response) = outcome {
//! #             log::info!("key {}", String::from_utf8_lossy(response.body()));
//! #         }
//! #     }
//! # }
//! # fn key_is_refreshed() -> Result<(), Refused> {
//! let proxy = Proxy::<Refresher>::builder()
//!     .service("keys", |request: &Message| match request.value(":path") {
//!         Some("/key") => Message::response(200).body("7").into(),
//!         _ => Answer::Unreachable,
//!     })
//!     .build("")?;
//! proxy.advance(Duration::from_secs(60));
//! assert_eq!(proxy.take_log(), ["info key 7"]);
//! # Ok(())
//! # }
//! # key_is_refreshed().unwrap();
//! ```
//!
//! # What is not tested here
//!
//! The plugin is compiled to native code, not to WebAssembly. There is no limit on memory or on the duration of a callback, the standard
//! library's clock and environment are those of the machine, and a panic fails the test instead of ending the instance. Use scenarios to
//! test these: `tidegate test` runs them in Tidegate's proxy and in Envoy.

mod builder;
mod engine;
mod log;
mod message;
mod proxy;
mod services;
mod stream;

pub use builder::Builder;
pub use log::LogLine;
pub use message::Message;
pub use proxy::{Proxy, Refused};
pub use services::Answer;
pub use stream::Stream;
