//! Write a proxy plugin in Rust.

mod bindings;
mod body;
pub mod clock;
mod config;
mod fields;
mod glue;
mod http_stream;
mod local_response;
pub mod log;
mod plugin;

pub use bindings::types::Error;
pub use body::Body;
pub use config::ConfigError;
pub use fields::Fields;
pub use http_stream::{Direction, HttpStream};
pub use local_response::LocalResponse;
pub use plugin::{Action, EndOfStream, Plugin};
pub use tidegate_guest_macros::plugin;

/// Everything that a plugin names, in one `use`.
pub mod prelude {
    pub use crate::{
        Action, Body, ConfigError, Direction, EndOfStream, Error, Fields, HttpStream,
        LocalResponse, Plugin, clock, log, plugin,
    };
}

/// What the expansion of `#[plugin]` names. Not for authors; it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use std::{result::Result, string::String, vec::Vec};

    pub use wit_bindgen;

    pub use crate::glue::{Context, Filter, configure_from_json, configure_without};

    pub mod bindings {
        pub use crate::bindings::{http_streams, types};
    }
}
