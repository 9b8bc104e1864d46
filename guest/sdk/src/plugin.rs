//! [`Plugin`], the trait that an author implements, and the two small types that its callbacks speak with.
//!
//! The trait is plain: nothing in it knows of WebAssembly, and `#[plugin]` on the impl block is what makes a component
//! of it.

use serde::de::DeserializeOwned;

use crate::{ConfigError, HttpStream};

pub use crate::bindings::types::Action;

/// A proxy plugin.
///
/// One value lives as long as the plugin is deployed with one configuration, once in each of the proxy's workers, and
/// sees all the streams of that worker one callback at a time. That is why callbacks borrow it: what they change
/// is in a [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell). What belongs to one stream goes into
/// [`Stream`](Plugin::Stream), which they may change freely.
///
/// Every callback has a default that lets the stream go on, and `#[plugin]` exports only the callbacks that an impl block
/// has: the proxy calls no other.
pub trait Plugin: Sized + 'static {
    /// The configuration: a serde type, or `()` for a plugin that takes none.
    type Config: DeserializeOwned;

    /// What is kept for each HTTP stream, from its first callback to its end. `()` for nothing.
    type Stream: Default + 'static;

    /// Makes the plugin of its configuration.
    ///
    /// A configuration that does not fit [`Config`](Plugin::Config) never comes here; what serde cannot tell is told
    /// here, with [`ConfigError::at`]. The proxy does not serve with a configuration that was refused.
    fn configure(config: Self::Config) -> Result<Self, ConfigError>;

    /// The headers of the request have come.
    ///
    /// `end` says whether neither body nor trailers follow. [`Action::Pause`] stops the stream until
    /// [`HttpStream::resume`].
    fn on_request_headers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let _ = (stream, http, end);
        Action::Continue
    }

    /// A piece of the request's body has come.
    ///
    /// `size` counts the bytes that [`HttpStream::request_body`] shows: this piece, with what was paused before it.
    /// [`Action::Pause`] buffers the piece until the next one.
    fn on_request_body(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let _ = (stream, http, size, end);
        Action::Continue
    }

    /// The headers of the response have come, from upstream or from a plugin that answered by itself.
    fn on_response_headers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> Action {
        let _ = (stream, http, end);
        Action::Continue
    }

    /// A piece of the response's body has come; as [`on_request_body`](Plugin::on_request_body).
    fn on_response_body(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> Action {
        let _ = (stream, http, size, end);
        Action::Continue
    }

    /// The stream has ended. Headers can still be read, nothing can be changed.
    fn on_log(&self, stream: &mut Self::Stream, http: &mut HttpStream) {
        let _ = (stream, http);
    }
}

/// Whether a half of the stream ends with what a callback was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfStream {
    /// More follows.
    No,
    /// This is the last.
    Yes,
}

impl EndOfStream {
    /// Whether this is the last.
    pub fn is_end(self) -> bool {
        self == EndOfStream::Yes
    }
}

impl From<bool> for EndOfStream {
    fn from(end: bool) -> Self {
        if end {
            EndOfStream::Yes
        } else {
            EndOfStream::No
        }
    }
}
