//! Plugins that behave like the examples of the Proxy-Wasm Go SDK, written with the Rust SDK.
//!
//! The host must run modules that were made with other SDKs as Envoy does. `tests/twins` contains a scenario for each example, and
//! `tests/tests/sdk_module.rs` compares the transcripts of the host and of Envoy. Each example has a file of its own. The plugin
//! configuration selects it: it is either the name of the example, or a JSON object with the name and options.
//!
//! Values that an original chooses at random are fixed here, because otherwise two runs could not be compared.

mod dispatch_call_on_tick;
mod fields;
mod foreign_call_on_tick;
mod helloworld;
mod http_auth_random;
mod log;
mod metrics;
mod multiple_dispatches;
mod postpone_requests;
mod shared_queue;
mod vm_plugin_configuration;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use serde::Deserialize;

/// The SDK defines the entry point as a public function without a comment. In a private module, the lint accepts it.
mod start {
    use super::{LogLevel, Root, RootContext};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Trace);
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
    }}
}

/// The plugin configuration.
#[derive(Deserialize)]
struct Options {
    /// The name of the example.
    example: String,
    /// The queue that a plugin of the example `shared_queue` receives from. Without it, the plugin is the sender.
    queue: Option<String>,
}

/// The plugin context. It passes all callbacks to the context of the selected example.
#[derive(Default)]
struct Root {
    vm_configuration: Vec<u8>,
    example: Option<Box<dyn RootContext>>,
}

/// The stream context of examples that do not process streams.
struct PassThrough;

// === impl Options ===

impl Options {
    fn parse(configuration: &[u8]) -> Result<Self, String> {
        if configuration.starts_with(b"{") {
            return serde_json::from_slice(configuration)
                .map_err(|error| format!("configuration: {error}"));
        }
        Ok(Self {
            example: String::from_utf8_lossy(configuration).into_owned(),
            queue: None,
        })
    }
}

// === impl Root ===

impl Root {
    /// Creates the plugin context of the example that the configuration selects.
    fn select(&self, configuration: &[u8]) -> Result<Box<dyn RootContext>, String> {
        let Options { example, queue } = Options::parse(configuration)?;
        let selected: Box<dyn RootContext> = match (example.as_str(), queue) {
            ("dispatch_call_on_tick", _) => Box::new(dispatch_call_on_tick::Plugin::default()),
            ("foreign_call_on_tick", _) => Box::new(foreign_call_on_tick::Plugin::default()),
            ("helloworld", _) => Box::new(helloworld::Plugin::default()),
            ("http_auth_random", _) => Box::new(http_auth_random::Plugin),
            ("metrics", _) => Box::new(metrics::Plugin::default()),
            ("multiple_dispatches", _) => Box::new(multiple_dispatches::Plugin),
            ("postpone_requests", _) => Box::new(postpone_requests::Plugin::default()),
            ("shared_queue", Some(queue)) => Box::new(shared_queue::Receiver::new(queue)),
            ("shared_queue", None) => Box::new(shared_queue::Sender),
            ("vm_plugin_configuration", _) => {
                let vm_configuration = self.vm_configuration.clone();
                Box::new(vm_plugin_configuration::Plugin::new(vm_configuration))
            }
            _ => return Err(format!("there is no example `{example}`")),
        };
        Ok(selected)
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize, trailers: usize) {
        if let Some(example) = &mut self.example {
            example.on_http_call_response(call, headers, body, trailers);
        }
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        self.vm_configuration = self.get_vm_configuration().unwrap_or_default();
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match self.select(&configuration) {
            Ok(mut example) => {
                let is_accepted = example.on_configure(size);
                self.example = Some(example);
                is_accepted
            }
            Err(reason) => {
                log::error(&reason);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(example) = &mut self.example {
            example.on_tick();
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        if let Some(example) = &mut self.example {
            example.on_queue_ready(queue);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let example = self.example.as_ref();
        let context = example.and_then(|example| example.create_http_context(id));
        // The SDK panics if there is no stream context.
        Some(context.unwrap_or_else(|| Box::new(PassThrough)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

// === impl PassThrough ===

impl Context for PassThrough {}

impl HttpContext for PassThrough {}
