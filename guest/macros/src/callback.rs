//! The callbacks that a plugin may have.
//!
//! One line each: a method of the trait, the WIT interface that it is called through, and the shape of its parameters.
//! A test in `contract` holds this list against the world `all`.

/// A callback of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The method of `Plugin`.
    pub method: &'static str,
    /// The interface of the contract whose `handle` it is.
    pub interface: &'static str,
    /// What it is called with.
    pub shape: Shape,
}

/// What a callback is called with beside the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whether the stream's half ends here; answers with an action.
    Headers,
    /// How many bytes can be seen, and whether the stream's half ends here; answers with an action.
    Body,
    /// Nothing, and answers nothing.
    Log,
}

/// Every callback, in the order in which a stream meets them.
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
    /// The callback whose method is called `method`.
    pub fn named(method: &str) -> Option<&'static Callback> {
        CALLBACKS.iter().find(|callback| callback.method == method)
    }

    /// The module that wit-bindgen makes for the interface, and our call into the SDK: the method's own name.
    pub fn module(&self) -> String {
        self.interface.replace('-', "_")
    }
}

/// The names of all callbacks, for messages.
pub fn names() -> String {
    let names: Vec<String> = CALLBACKS
        .iter()
        .map(|callback| format!("`{}`", callback.method))
        .collect();
    names.join(", ")
}
