//! Properties of the plugin and of the proxy. Wraps the contract's `plugin-properties` interface.
//!
//! They need no stream, so they can be read everywhere, also in [`configure`](crate::Plugin::configure). The properties of
//! streams are read with [`HttpStream::property`](crate::HttpStream::property).
//!
//! This plugin can be deployed several times. Each deployment has a name, and counts under this name:
//!
//! ```
//! use tidegate_guest::metrics::Counter;
//! use tidegate_guest::prelude::*;
//!
//! struct Meter {
//!     requests: Counter,
//! }
//!
//! #[plugin]
//! impl Plugin for Meter {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         let failed = |error: Error| ConfigError::new(format!("cannot define a metric: {}", error.name()));
//!         let name = plugin_properties::get_str(&["plugin_name"]).or_log("read the name").flatten();
//!         let name = name.unwrap_or_else(|| "meter".to_owned());
//!         let requests = Counter::define(&format!("{name}.requests")).map_err(failed)?;
//!         Ok(Meter { requests })
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), _: &mut HttpStream, _: EndOfStream) -> Action {
//!         self.requests.increment();
//!         Action::Continue
//!     }
//! }
//! ```

use crate::bindings::plugin_properties;
use crate::{Error, property};

/// Returns the property at a path.
///
/// The paths are `&["plugin_name"]`, `&["plugin_root_id"]` and `&["plugin_vm_id"]`. In Envoy, there are also those that begin
/// with `xds` and `node`, such as `&["xds", "node", "id"]`, which identifies the proxy. All others yield `None`, including
/// the attributes of streams.
///
/// Values are represented in the same way as those of [`HttpStream::property`](crate::HttpStream::property).
///
/// Returns [`Error::InvalidArgument`] if the path is empty, or if one of its segments is empty or contains a zero byte, and
/// [`Error::Malformed`] if the path leads to a group of attributes.
pub fn get(path: &[&str]) -> Result<Option<Vec<u8>>, Error> {
    plugin_properties::get(&property::owned(path))
}

/// Returns a string property. Returns [`Error::Malformed`] if it is not valid UTF-8.
pub fn get_str(path: &[&str]) -> Result<Option<String>, Error> {
    get(path)?.map(property::text).transpose()
}
