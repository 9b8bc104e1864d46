//! Tests of the engine with modules in text form: which load, which are rejected, and how hostile ones are contained.

mod calls;
mod ending;
mod hostile;
mod starting;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_semantics::fields::Fields;
use tidegate_semantics::limits::Limits;
use tidegate_semantics::plugin::PluginSpec;
use tidegate_semantics::stream::{Effect, Stream};

use crate::config::RuntimeConfig;
use crate::error::{LoadError, StartError};
use crate::runtime::{Runtime, WorkerChain};
use crate::test_support::LogCapture;
use crate::test_support::fields;
use crate::{ChainConfig, ManualClock};

/// A worker with one plugin, and the plugin's log.
struct Fixture {
    chain: WorkerChain,
    lines: Arc<LogCapture>,
}

fn plugin(text: &str) -> PluginSpec {
    PluginSpec::new("plugin", wat::parse_str(text).unwrap())
}

fn load(spec: PluginSpec) -> Result<crate::Chain, LoadError> {
    Runtime::new(RuntimeConfig::new(Arc::new(LogCapture::default())))
        .unwrap()
        .load(&[spec])
}

fn try_start(spec: PluginSpec) -> Result<Fixture, StartError> {
    let lines = Arc::new(LogCapture::default());
    let config = ChainConfig::new(Arc::new(ManualClock::new(42)), lines.clone());
    let chain = Runtime::new(config.into())
        .unwrap()
        .load(&[spec])
        .unwrap()
        .start_worker(0)?;
    Ok(Fixture { chain, lines })
}

fn start(spec: PluginSpec) -> Fixture {
    try_start(spec).unwrap_or_else(|error| panic!("{error}"))
}

impl Fixture {
    fn open(&self) -> Stream {
        self.chain.open(Rc::new(|| ()))
    }

    /// Sends a request without a body, and returns its effects and log lines.
    fn request(&self) -> (Vec<Effect>, Vec<String>) {
        let mut stream = self.open();
        stream.request_headers(request(), true);
        let effects = std::iter::from_fn(|| stream.next_effect()).collect();
        stream.finish();
        (effects, self.lines.take())
    }
}

fn request() -> Fields {
    fields(&[
        (":authority", "a"),
        (":path", "/"),
        (":method", "GET"),
        (":scheme", "http"),
        ("x", "1"),
        ("x", "2"),
    ])
}

fn status(effects: &[Effect]) -> Option<u16> {
    match effects {
        [Effect::ResponseHeaders { fields, end: true }] => Some(fields.status().unwrap().as_u16()),
        _ => None,
    }
}

/// Returns a module of ABI 0.2.1 with these parts. Its allocator returns ascending addresses from 0x8000.
fn module(parts: &str) -> String {
    format!(
        r#"(module
            {parts}
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 0x8000))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get $size))))
        )"#
    )
}

/// Returns a module whose request headers callback has this body. `$say` logs the bytes at an address; `$status` logs a
/// number as two digits.
fn callback(imports: &str, body: &str) -> String {
    module(&format!(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
           {imports}
           (func $say (param $at i32) (param $size i32)
               (drop (call $log (i32.const 2) (local.get $at) (local.get $size))))
           (func $status (param $status i32)
               (i32.store8 (i32.const 0x7f00) (i32.add (i32.const 0x30) (i32.div_u (local.get $status) (i32.const 10))))
               (i32.store8 (i32.const 0x7f01) (i32.add (i32.const 0x30) (i32.rem_u (local.get $status) (i32.const 10))))
               (call $say (i32.const 0x7f00) (i32.const 2)))
           (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
               {body}
               (i32.const 0))"#
    ))
}
