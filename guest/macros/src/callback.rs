//! The callbacks that a plugin can implement.
//!
//! There is one entry for each: the trait method, the WIT interface through which it is called, and the shape of its
//! parameters. A test in `contract` checks this list against the world `all`.

/// A callback of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The method of `Plugin`.
    pub method: &'static str,
    /// The interface of the contract whose `handle` function it implements.
    pub interface: &'static str,
    /// The shape of its parameters.
    pub shape: Shape,
}

/// The parameters of a callback, other than the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whether this half of the stream ends. Returns an action.
    Headers,
    /// The number of visible bytes and whether this half of the stream ends. Returns an action.
    Body,
    /// No parameters and no return value.
    Log,
}

/// All callbacks, in the order in which a stream invokes them.
pub const CALLBACKS: &[Callback] = &[
    Callback {
        method: "on_request_headers",
        interface: "on-request-headers",
        shape: Shape::Headers,
    },
    Callback {
        method: "on_request_body",
        interface: "on-request-body",
        shape: Shape::Body,
    },
    Callback {
        method: "on_response_headers",
        interface: "on-response-headers",
        shape: Shape::Headers,
    },
    Callback {
        method: "on_response_body",
        interface: "on-response-body",
        shape: Shape::Body,
    },
    Callback {
        method: "on_log",
        interface: "on-log",
        shape: Shape::Log,
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
