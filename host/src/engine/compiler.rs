//! The compiler that both engines share, and the clock hand that interrupts guests.

use std::error::Error;
use std::sync::Arc;

use wasmtime::{Config, Engine};

use crate::engine::{Compiled, component, proxy_wasm};
use crate::limits::Limits;
use crate::plugin::{EngineKind, PluginSpec};
use crate::runtime::LoadError;

/// Compiles plugins.
pub(crate) struct Compiler {
    engine: Engine,
}

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
