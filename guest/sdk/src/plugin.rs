//! [`Plugin`], the trait that plugin authors implement, and the small types that most of its callbacks use.
//!
//! The trait is independent of WebAssembly. The `#[plugin]` attribute on the impl block turns an implementation into a
//! component.

use serde::de::DeserializeOwned;

use crate::{
    CallbackResult, ConfigError, HttpStream,
    http_calls::{CallId, Outcome},
    shared_queues::QueueId,
};

pub use crate::bindings::types::{Action, Completion};

/// A proxy plugin.
///
/// Each worker of the proxy has one value for each deployed configuration. The value lives as long as that
/// configuration is deployed and handles all streams of the worker, one callback at a time. Callbacks therefore borrow
/// it immutably; keep mutable state in a [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell). Per-stream state
/// belongs in [`Stream`](Plugin::Stream), which callbacks can modify freely.
///
/// Every callback has a default implementation, which lets the stream continue or does nothing. `#[plugin]` exports only the
/// callbacks that the impl block defines, and the proxy calls no others.
///
/// A callback that returns an action may return [`Action`] or [`Result<Action, E>`](Result), where `E` implements
/// [`Display`](std::fmt::Display). [`on_http_call_response`](Plugin::on_http_call_response) may return nothing or `Result<(), E>`. See
/// [errors](crate#errors).
pub trait Plugin: Sized + 'static {
    /// The configuration type: a serde type, or `()` if the plugin has no configuration.
    type Config: DeserializeOwned;

    /// The state of one HTTP stream, from its first callback to its end. Use `()` if there is none.
    type Stream: 'static;

    /// Whether streams continue after a callback has returned an error. Set by `#[plugin(on_error = "continue")]`.
    #[doc(hidden)]
    const CONTINUES_ON_ERROR: bool = false;

    /// What the impl block defines. Set by `#[plugin]`. Only tests read it: a component has these exports.
    #[doc(hidden)]
    const EXPORTS: Exports = Exports::ALL;

    /// Creates the plugin from its configuration.
    ///
    /// This function is not called for a configuration that cannot be deserialized into [`Config`](Plugin::Config). Use
    /// [`ConfigError::at`] to report errors that serde cannot detect. The proxy does not serve traffic with a rejected
    /// configuration.
    fn configure(config: Self::Config) -> Result<Self, ConfigError>;

    /// Creates the state of a stream, immediately before its first callback.
    ///
    /// The headers that this callback can read can be read here, too. If the impl block does not define this function, `#[plugin]` adds
    /// one that returns the [default](Default) of [`Stream`](Plugin::Stream).
    fn on_stream(&self, http: &HttpStream) -> Self::Stream;

    /// Called when the request headers have been received.
    ///
    /// `end` indicates whether the request has neither body nor trailers. [`Action::Pause`] pauses the stream until
    /// [`HttpStream::resume`] is called.
    fn on_request_headers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http, end);
        Action::Continue
    }

    /// Called when a chunk of the request body has been received.
    ///
    /// `size` is the number of bytes visible through [`HttpStream::request_body`]: this chunk, preceded by any data
    /// buffered by earlier pauses. [`Action::Pause`] buffers the data until the next chunk.
    ///
    /// `end` indicates whether the request ends here. If it has trailers, they end it, and `end` is never
    /// [`EndOfStream::Yes`].
    fn on_request_body(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http, size, end);
        Action::Continue
    }

    /// Called when the trailers of the request have been received. Most requests have none.
    ///
    /// The trailers can be read and changed through [`HttpStream::request_trailers`], and they end the request. The body
    /// is not visible here. [`Action::Pause`] pauses the stream until [`HttpStream::resume`] is called. Otherwise the
    /// stream continues, and so does a body that this plugin has buffered. This also happens if the plugin does not define
    /// this callback.
    ///
    /// It is not called for trailers that the plugin has added itself.
    fn on_request_trailers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http);
        Action::Continue
    }

    /// Called when the response headers have been received, from the upstream or from a plugin that sent a local
    /// response.
    fn on_response_headers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        end: EndOfStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http, end);
        Action::Continue
    }

    /// Called when a chunk of the response body has been received. See [`on_request_body`](Plugin::on_request_body).
    fn on_response_body(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        size: u32,
        end: EndOfStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http, size, end);
        Action::Continue
    }

    /// Called when the trailers of the response have been received. See
    /// [`on_request_trailers`](Plugin::on_request_trailers).
    ///
    /// The trailers of a gRPC response contain the status of the call, in `grpc-status`.
    fn on_response_trailers(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
    ) -> impl CallbackResult<Action> {
        let _ = (stream, http);
        Action::Continue
    }

    /// Called when the stream has ended. Headers can still be read, but nothing can be changed.
    fn on_log(&self, stream: &mut Self::Stream, http: &mut HttpStream) {
        let _ = (stream, http);
    }

    /// Called when a call that [`HttpStream::call`] sent for this stream has ended. Not called if the stream has ended by then.
    ///
    /// `call` is the ID that `HttpStream::call` returned. No other callback of the stream is running. The headers of the
    /// stream can be read and changed only while a callback has paused it. To let the stream continue, call
    /// [`HttpStream::resume`]. To deny it, call [`HttpStream::send_response`].
    fn on_http_call_response(
        &self,
        stream: &mut Self::Stream,
        http: &mut HttpStream,
        call: CallId,
        outcome: Outcome,
    ) -> impl CallbackResult<()> {
        let _ = (stream, http, call, outcome);
    }

    /// Called when a call that [`http_calls::send`](crate::http_calls::send) sent for the plugin has ended.
    ///
    /// `call` is the ID that `send` returned.
    fn on_plugin_http_call_response(&self, call: CallId, outcome: Outcome) {
        let _ = (call, outcome);
    }

    /// Called after each period of the plugin's [timer](crate::timers).
    ///
    /// Envoy also runs each plugin on its main thread, which serves no streams, and calls this function there as well.
    fn on_tick(&self) {}

    /// Called once for each value that is added to a [queue](crate::shared_queues) whose listener is this plugin.
    ///
    /// `queue` is the ID that [`Queue::id`](crate::shared_queues::Queue::id) returns. Another call of
    /// [`dequeue`](crate::shared_queues::Queue::dequeue) may have removed the value already.
    fn on_queue_ready(&self, queue: QueueId) {
        let _ = queue;
    }

    /// Called once, when the proxy is about to drop this value: after another configuration has replaced it and its last stream
    /// has ended, and when the proxy stops.
    ///
    /// With [`Completion::Done`], calls in progress can be cancelled, including those that were sent in this callback.
    ///
    /// With [`Completion::Pending`], the proxy keeps the value until [`plugin_lifecycle::done`](crate::plugin_lifecycle::done) is
    /// called. Until then, the timer, calls and queues work as before. Do not rely on it: a proxy that stops does not wait, and
    /// the time is limited. Envoy waits only as long as another plugin with the same module and the same
    /// [VM configuration](crate::vm_configuration) is deployed. A value that the proxy does not wait for is not dropped.
    ///
    /// Envoy also runs each plugin on its main thread, which serves no streams, and calls this function there as well.
    fn on_plugin_done(&self) -> Completion {
        Completion::Done
    }
}

/// What the impl block of a plugin defines.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Exports {
    /// The names of the callbacks. All if `None`.
    pub callbacks: Option<&'static [&'static str]>,
    /// Whether the plugin has a configuration.
    pub takes_configuration: bool,
}

impl Exports {
    const ALL: Exports = Exports {
        callbacks: None,
        takes_configuration: true,
    };
}

/// Indicates whether the data passed to a callback is the last of its half of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfStream {
    /// More data follows.
    No,
    /// No more data follows.
    Yes,
}

impl EndOfStream {
    /// Returns whether no more data follows.
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
