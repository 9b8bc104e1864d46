//! The configuration of the virtual machine, which is what Envoy and Istio call the instance that runs the plugin. Wraps the
//! contract's `vm-configuration` interface.
//!
//! Most plugins do not need it: they have a [`Config`](crate::Plugin::Config) of their own. All plugins in an instance have the same
//! VM configuration. Plugins that have different ones run in different instances, even if their modules are identical.
//!
//! ```
//! use tidegate_guest::prelude::*;
//!
//! struct Tag {
//!     zone: Vec<u8>,
//! }
//!
//! #[plugin]
//! impl Plugin for Tag {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Tag { zone: vm_configuration::get() })
//!     }
//!
//!     fn on_request_headers(&self, _: &mut (), http: &mut HttpStream, _: EndOfStream) -> Result<Action, Error> {
//!         http.request_headers().set("x-zone", &self.zone)?;
//!         Ok(Action::Continue)
//!     }
//! }
//! ```

use crate::bindings::vm_configuration;

/// Returns the bytes of the configuration, which are empty if none was given. It can be called everywhere, including
/// [`configure`](crate::Plugin::configure).
pub fn get() -> Vec<u8> {
    vm_configuration::get()
}
