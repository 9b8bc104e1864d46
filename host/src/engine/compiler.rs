//! The compiler that both engines share, and the thread that interrupts guests.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime::{Config, Engine};

use crate::engine::{Compiled, component, proxy_wasm};
use crate::error::LoadError;
use crate::limits::Limits;
use crate::plugin::{EngineKind, PluginSpec};

/// Compiles plugins.
pub(crate) struct Compiler {
    engine: Engine,
}

/// Compiled code that several servers share: of servers that start with the same plugins, only the first compiles them.
///
/// It keeps all code that was ever asked of it.
pub struct CodeCache {
    compiler: Compiler,
    /// A slot is locked while its code is compiled, so that others wait for that code and for no other.
    slots: Mutex<HashMap<(EngineKind, Bytes), Arc<Slot>>>,
}

type Slot = Mutex<Option<Arc<dyn Compiled>>>;

/// What a guest's stack may grow to.
const STACK: usize = 512 << 10;

impl Compiler {
    /// `fuel`: whether guests' code is to count it, which slows it down.
    pub(crate) fn new(fuel: bool) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut config = Config::new();
        // Without it a call into a component costs half: the plugins' world is synchronous.
        config.concurrency_support(false);
        config.epoch_interruption(true);
        config.consume_fuel(fuel);
        config.max_wasm_stack(STACK);
        // Newer tools emit these types. A plugin may mention them, as long as nothing that it calls uses them.
        config.wasm_component_model_map(true);
        config.wasm_component_model_fixed_length_lists(true);
        config.wasm_component_model_implements(true);
        // `compiler_inlining` stays off: it takes a twelfth off a callback, and leaves the process 85 MB larger with one plugin.
        let engine = Engine::new(&config)?;
        // The thread ends by itself, at the first tick after the last chain is gone.
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("tidegate-epoch".to_owned())
            .spawn(move || {
                loop {
                    std::thread::sleep(Limits::TICK);
                    match weak.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })?;
        Ok(Self { engine })
    }

    pub(crate) fn compile(
        &self,
        plugin: &PluginSpec,
        engine: EngineKind,
    ) -> Result<Arc<dyn Compiled>, LoadError> {
        Ok(match engine {
            EngineKind::Component => Arc::new(component::Compiled::new(&self.engine, plugin)?),
            EngineKind::ProxyWasm => Arc::new(proxy_wasm::Compiled::new(&self.engine, plugin)?),
        })
    }
}

impl CodeCache {
    /// An empty one.
    pub fn new() -> Result<Self, LoadError> {
        let compiler = Compiler::new(false).map_err(|source| LoadError::Runtime { source })?;
        Ok(Self {
            compiler,
            slots: Mutex::default(),
        })
    }

    /// The code of a plugin's module, compiled if it is not there.
    pub(crate) fn code(
        &self,
        plugin: &PluginSpec,
        engine: EngineKind,
    ) -> Result<Arc<dyn Compiled>, LoadError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (engine, plugin.module.clone());
            slots.entry(key).or_default().clone()
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = &*slot {
            return Ok(code.clone());
        }
        let code = self.compiler.compile(plugin, engine)?;
        *slot = Some(code.clone());
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#"(module (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 0))"#;

    fn plugin(name: &str, text: &str) -> PluginSpec {
        PluginSpec::new(name, wat::parse_str(text).expect("text"))
    }

    #[test]
    fn code_is_compiled_once_for_each_module_and_engine() {
        let cache = CodeCache::new().expect("a compiler");
        let code = |name: &str, text: &str, engine| cache.code(&plugin(name, text), engine);
        let first = code("one", MODULE, EngineKind::ProxyWasm).expect("code");
        let same = code("another", MODULE, EngineKind::ProxyWasm).expect("code");
        assert!(Arc::ptr_eq(&first, &same));
        let other = MODULE.replace("i32.const 0", "i32.const 8");
        let other = code("one", &other, EngineKind::ProxyWasm).expect("code");
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(code("one", MODULE, EngineKind::Component).is_err());
    }

    #[test]
    fn error_names_the_requesting_plugin() {
        let cache = CodeCache::new().expect("a compiler");
        for name in ["one", "another"] {
            let error = cache.code(&plugin(name, "(module)"), EngineKind::ProxyWasm);
            let error = error.err().expect("an error").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
