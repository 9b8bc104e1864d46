//! The callbacks that a plugin can implement.
//!
//! There is one entry for each: the trait method, the WIT interface through which it is called, the resource that
//! receives it, and the shape of its parameters. A test in `contract` checks this list against the world `all`.

/// A callback of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The method of `Plugin`.
    pub method: &'static str,
    /// The interface of the contract whose `handle` function it implements.
    pub interface: &'static str,
    /// The resource that the `handle` function takes first.
    pub receiver: Receiver,
    /// The shape of its parameters.
    pub shape: Shape,
}

/// The resource that receives a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// The filter of a stream.
    Filter,
    /// The plugin context.
    PluginContext,
}

/// The parameters of a callback, other than the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whether this half of the stream ends. Returns an action.
    Headers,
    /// The number of visible bytes and whether this half of the stream ends. Returns an action.
    Body,
    /// No parameters. Returns an action.
    Trailers,
    /// An HTTP call and its outcome. No return value.
    Outcome,
    /// The ID of a queue. No return value.
    Queue,
    /// No parameters. Returns whether the plugin is done.
    Completion,
    /// No parameters and no return value.
    Empty,
}

/// All callbacks: those of a stream's phases in the order in which a stream invokes them, then those that are not part of
/// a phase.
pub const CALLBACKS: &[Callback] = &[
    Callback {
        method: "on_request_headers",
        interface: "on-request-headers",
        receiver: Receiver::Filter,
        shape: Shape::Headers,
    },
    Callback {
        method: "on_request_body",
        interface: "on-request-body",
        receiver: Receiver::Filter,
        shape: Shape::Body,
    },
    Callback {
        method: "on_request_trailers",
        interface: "on-request-trailers",
        receiver: Receiver::Filter,
        shape: Shape::Trailers,
    },
    Callback {
        method: "on_response_headers",
        interface: "on-response-headers",
        receiver: Receiver::Filter,
        shape: Shape::Headers,
    },
    Callback {
        method: "on_response_body",
        interface: "on-response-body",
        receiver: Receiver::Filter,
        shape: Shape::Body,
    },
    Callback {
        method: "on_response_trailers",
        interface: "on-response-trailers",
        receiver: Receiver::Filter,
        shape: Shape::Trailers,
    },
    Callback {
        method: "on_log",
        interface: "on-log",
        receiver: Receiver::Filter,
        shape: Shape::Empty,
    },
    Callback {
        method: "on_http_call_response",
        interface: "on-http-call-response",
        receiver: Receiver::Filter,
        shape: Shape::Outcome,
    },
    Callback {
        method: "on_plugin_http_call_response",
        interface: "on-plugin-http-call-response",
        receiver: Receiver::PluginContext,
        shape: Shape::Outcome,
    },
    Callback {
        method: "on_tick",
        interface: "on-tick",
        receiver: Receiver::PluginContext,
        shape: Shape::Empty,
    },
    Callback {
        method: "on_queue_ready",
        interface: "on-queue-ready",
        receiver: Receiver::PluginContext,
        shape: Shape::Queue,
    },
    Callback {
        method: "on_plugin_done",
        interface: "on-plugin-done",
        receiver: Receiver::PluginContext,
        shape: Shape::Completion,
    },
];

impl Callback {
    /// Returns the callback for a method name.
    pub fn named(method: &str) -> Option<&'static Callback> {
        CALLBACKS.iter().find(|callback| callback.method == method)
    }

    /// Returns the name of the module that wit-bindgen generates for the interface. The SDK function has the name of
    /// the method.
    pub fn module(&self) -> String {
        self.interface.replace('-', "_")
    }
}

/// Returns the names of all callbacks, for error messages.
pub fn names() -> String {
    let names: Vec<String> = CALLBACKS
        .iter()
        .map(|callback| format!("`{}`", callback.method))
        .collect();
    names.join(", ")
}
