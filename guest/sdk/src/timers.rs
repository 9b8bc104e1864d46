//! The timer of the plugin. Wraps the contract's `timers` interface.
//!
//! Each plugin value has one timer, which calls [`on_tick`](crate::Plugin::on_tick). It can be set in
//! [`configure`](crate::Plugin::configure) and in every callback. The timer that is set belongs to the plugin whose function
//! is running, also if two deployments of a plugin share an instance.
//!
//! Each worker of the proxy has a plugin value of its own, and each of them ticks. Envoy also runs each plugin on its main
//! thread, which serves no streams, and calls `on_tick` there as well. A plugin that sends a request in each tick therefore
//! sends one more than there are workers.
//!
//! A tick can refresh data that requests need, so that no request waits for it. The first tick comes after the first
//! period. This plugin sets a short one first, because it cannot send requests in `configure`:
//!
//! ```
//! use std::cell::RefCell;
//! use std::time::Duration;
//!
//! use tidegate_guest::http_calls::Request;
//! use tidegate_guest::prelude::*;
//!
//! #[derive(Default)]
//! struct Blocklist {
//!     clients: RefCell<Vec<u8>>,
//! }
//!
//! #[plugin]
//! impl Plugin for Blocklist {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         let failed = |error: Error| ConfigError::new(format!("cannot set the timer: {}", error.name()));
//!         timers::every(Duration::from_millis(1)).map_err(failed)?;
//!         Ok(Blocklist::default())
//!     }
//!
//!     fn on_tick(&self) {
//!         timers::every(Duration::from_secs(30)).or_log("set the timer");
//!         let request = Request::get("lists.internal", "/blocked-clients");
//!         http_calls::send("lists", request, Duration::from_secs(5)).or_log("refresh the list");
//!     }
//!
//!     fn on_plugin_http_call_response(&self, _: CallId, outcome: Outcome) {
//!         match outcome {
//!             Outcome::Response(response) if response.status() == Some(200) => {
//!                 self.clients.replace(response.into_body());
//!             }
//!             _ => log::warn!("the list was not refreshed, and the old one remains in use"),
//!         }
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         let client = http.request_headers().get("x-client-id")?;
//!         let clients = self.clients.borrow();
//!         let is_blocked = |client: Vec<u8>| clients.split(|byte| *byte == b'\n').any(|line| line == client);
//!         if client.is_some_and(is_blocked) {
//!             return http.respond(LocalResponse::new(403));
//!         }
//!         Ok(Action::Continue)
//!     }
//! }
//! ```

use std::time::Duration;

use crate::Error;
use crate::bindings::timers;
use crate::duration::milliseconds;

/// Starts the timer: [`on_tick`](crate::Plugin::on_tick) is called after each period.
///
/// The period is rounded up to whole milliseconds, and is at least one. If the timer is running, it starts again with the new
/// period. Periods that pass while `on_tick` runs are not made up for.
///
/// Returns [`Error::InvalidArgument`] if the period is longer than `u32::MAX` milliseconds, about 49 days, and
/// [`Error::NotPermitted`] if the deployment does not allow timers.
///
/// ```
/// use std::time::Duration;
///
/// use tidegate_guest::prelude::*;
///
/// /// Refreshes more often while there are errors.
/// fn adapt(has_errors: bool) {
///     let period = Duration::from_secs(if has_errors { 5 } else { 60 });
///     timers::every(period).or_log("set the timer");
/// }
/// ```
pub fn every(period: Duration) -> Result<(), Error> {
    timers::set_period(milliseconds(period)?)
}

/// Stops the timer. Does nothing if it is not running.
///
/// Returns [`Error::NotPermitted`] if the deployment does not allow timers.
pub fn stop() -> Result<(), Error> {
    timers::set_period(0)
}
