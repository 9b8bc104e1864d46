//! The plugins that are measured, built from the sources that the tests use.

use anyhow::{Context, Result};
use tidegate_components::guests::{self, Shape};
use tidegate_components::{languages, workspace};

/// All forms of the tutorial's plugin and of the plugin `rate-limit`, and the modules that they are compared with.
pub struct Modules {
    /// The component, built by rustc.
    pub component: Vec<u8>,
    /// The adapted module.
    pub adapted: Vec<u8>,
    /// The adapted module of the component built for `wasm32-unknown-unknown`, which has no WASI and no libc.
    pub adapted_bare: Vec<u8>,
    /// The same plugin written with the Proxy-Wasm Rust SDK.
    pub twin: Vec<u8>,
    /// The same plugin written with the Proxy-Wasm Go SDK, if Go is installed.
    pub go_twin: Option<Vec<u8>>,
    /// The plugin `rate-limit`, adapted.
    pub rate_limit: Vec<u8>,
    /// The same, of the component built for `wasm32-unknown-unknown`.
    pub rate_limit_bare: Vec<u8>,
    /// One of its rules, written with the Proxy-Wasm Rust SDK.
    pub rate_limit_twin: Vec<u8>,
    /// A module that does nothing.
    pub empty: Vec<u8>,
}

impl Modules {
    /// Builds all modules.
    pub fn build() -> Result<Modules> {
        let wasip2 = guests::build("istio-tutorial", Shape::Wasip2)?;
        let bare = guests::build("istio-tutorial", Shape::Bare)?;
        let go_twin = workspace::root().join("benches/go-twin");
        let go_twin = match languages::build_go_sdk(&go_twin)? {
            Ok(module) => Some(module.to_vec()),
            Err(missing) => {
                println!("SKIPPED: the twin in Go: {missing}");
                None
            }
        };
        Ok(Modules {
            component: wasip2.component.to_vec(),
            adapted: wasip2.module.to_vec(),
            adapted_bare: bare.module.to_vec(),
            twin: guests::build_module("proxy-wasm-twin")?.to_vec(),
            go_twin,
            rate_limit: guests::build("rate-limit", Shape::Wasip2)?.module.to_vec(),
            rate_limit_bare: guests::build("rate-limit", Shape::Bare)?.module.to_vec(),
            rate_limit_twin: guests::build_module("proxy-wasm-rate-limit")?.to_vec(),
            empty: empty()?,
        })
    }

    /// Returns the handwritten module, with the given limit.
    pub fn floor(&self, limit: u64) -> Result<Vec<u8>> {
        text(&floor(limit))
    }

    /// Returns the same module with the two callbacks that are required to keep state for each stream: one associates the stream with a
    /// context, the other reports its end. Here they do nothing.
    pub fn floor_with_contexts(&self, limit: u64) -> Result<Vec<u8>> {
        let contexts = r#"(func (export "proxy_on_context_create") (param i32 i32))
            (func (export "proxy_on_delete") (param i32))"#;
        text(&floor(limit).replace(";; CONTEXTS", contexts))
    }
}

/// Returns the module that does nothing, with both headers callbacks.
pub fn empty() -> Result<Vec<u8>> {
    text(include_str!("../wat/empty.wat"))
}

/// Returns the handwritten module that appends one header to each response.
pub fn append_by_hand() -> Result<Vec<u8>> {
    text(include_str!("../wat/append.wat"))
}

/// Returns the handwritten module that increments a counter `times` times in each response.
pub fn metric_by_hand(times: u32) -> Result<Vec<u8>> {
    text(
        &include_str!("../wat/metric.wat")
            .replace("(i32.const TIMES)", &format!("(i32.const {times})")),
    )
}

/// Returns the handwritten module that makes the hostcalls of a rate limit by client address, or only asks for the time.
pub fn limit_by_hand(more: bool) -> Result<Vec<u8>> {
    let more = format!("(i32.const {})", u8::from(more));
    text(&include_str!("../wat/limit.wat").replace("(i32.const MORE)", &more))
}

fn floor(limit: u64) -> String {
    include_str!("../wat/floor.wat").replace("LIMIT", &limit.to_string())
}

fn text(wat: &str) -> Result<Vec<u8>> {
    wat::parse_str(wat).context("a module in text form that is not well-formed")
}
