//! Proxy-Wasm modules in text form, and what they log.

use std::sync::mpsc;

use tidegate_host::{LogLine, LogSink, PluginSpec};

/// The import with which a module logs.
pub const LOG: &str = r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;

/// Returns a plugin. `imports` and `rest` are added to what all modules have: a page of memory, and the exports that every proxy requires.
pub fn plugin(name: &str, imports: &str, rest: &str) -> PluginSpec {
    let module = format!(
        r#"(module
          {imports}
          (memory (export "memory") 1)
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
          (func (export "proxy_on_context_create") (param i32 i32))
          {rest})"#
    );
    PluginSpec::new(name, wat::parse_str(module).expect("a module"))
}

/// Reports each line with one message.
pub struct Reports {
    pub message: &'static str,
    pub to: mpsc::Sender<()>,
}

impl LogSink for Reports {
    fn line(&self, line: &LogLine<'_>) {
        if line.message == self.message {
            // The test may have ended.
            let _ = self.to.send(());
        }
    }
}
