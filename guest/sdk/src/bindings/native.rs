//! The contract's imports on the machine that runs a plugin's tests: the signatures of the generated modules, with one file for each
//! interface. The functions call those of `tidegate_semantics::hostcalls`, as the proxy does.

pub mod clock;
pub mod foreign_functions;
pub mod http_bodies;
pub mod http_call_types;
pub mod http_calls;
pub mod http_fields;
pub mod http_streams;
pub mod local_responses;
pub mod logging;
pub mod metrics;
pub mod plugin_lifecycle;
pub mod plugin_properties;
pub mod properties;
pub mod shared_data;
pub mod shared_queues;
pub mod stream_control;
pub mod timers;
pub mod types;
pub mod vm_configuration;

pub(crate) mod current;

/// The types of the contract are the generated ones. The functions cannot be called on this machine.
mod generated {
    wit_bindgen::generate!({
        path: "wit",
        world: "imports",
        generate_all,
    });

    pub use tidegate::proxy::*;
}
