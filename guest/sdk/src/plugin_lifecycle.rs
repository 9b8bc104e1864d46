//! The end of a plugin that the proxy waits for. Wraps the contract's `plugin-lifecycle` interface.
//!
//! A plugin that collects data can send the rest of it before it ends. This one counts requests, and reports the number when another
//! configuration replaces it. The proxy keeps the plugin until the report has been received:
//!
//! ```
//! use std::cell::Cell;
//! use std::time::Duration;
//!
//! use tidegate_guest::http_calls::Request;
//! use tidegate_guest::prelude::*;
//!
//! #[derive(Default)]
//! struct Meter {
//!     requests: Cell<u64>,
//! }
//!
//! #[plugin]
//! impl Plugin for Meter {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Meter::default())
//!     }
//!
//!     fn on_log(&self, _: &mut (), _: &mut HttpStream) {
//!         self.requests.set(self.requests.get() + 1);
//!     }
//!
//!     fn on_plugin_done(&self) -> Completion {
//!         let report = Request::new("POST", "meter.internal", "/").body(self.requests.get().to_string());
//!         match http_calls::send("meter", report, Duration::from_secs(5)).or_log("send the report") {
//!             Some(_) => Completion::Pending,
//!             None => Completion::Done,
//!         }
//!     }
//!
//!     fn on_plugin_http_call_response(&self, _: CallId, _: Outcome) {
//!         plugin_lifecycle::done().or_log("end the plugin");
//!     }
//! }
//! ```

use crate::Error;
use crate::bindings::plugin_lifecycle;

/// Reports that the plugin is done, after [`on_plugin_done`](crate::Plugin::on_plugin_done) has returned
/// [`Completion::Pending`](crate::Completion::Pending). The proxy drops the plugin when the running callback has returned.
///
/// Returns [`Error::NotAvailable`] if the proxy does not wait for the plugin, which includes `on_plugin_done` itself, and
/// [`Error::NotPermitted`] if the deployment does not allow this.
pub fn done() -> Result<(), Error> {
    plugin_lifecycle::done()
}
