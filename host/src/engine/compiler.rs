//! The compiler that both engines share, and the thread that interrupts guests.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidegate_semantics::limits::Limits;
use tidegate_semantics::plugin::{EngineKind, PluginSpec};
use wasmtime::{Cache, CacheConfig, Config, Engine};

use crate::engine::{Compiled, component, proxy_wasm};
use crate::error::LoadError;

/// Compiles plugins.
pub(crate) struct Compiler {
    engine: Engine,
    /// The cache on disk, if there is one.
    disk: Option<Cache>,
}

/// Compiled code that several servers share: of servers that start with the same plugins, only the first compiles them.
///
/// Code is never evicted.
pub struct CodeCache {
    compiler: Compiler,
    /// A slot is locked while its code is compiled, so that others wait for that code and for no other.
    slots: Mutex<HashMap<(EngineKind, Bytes), Arc<Slot>>>,
}

type Slot = Mutex<Option<Arc<dyn Compiled>>>;

/// The number of modules and components whose code was found in the cache on disk, and of those that were compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeCacheStats {
    /// Found in the cache.
    pub hits: usize,
    /// Not found, compiled and added to the cache.
    pub misses: usize,
}

/// What a guest's stack may grow to.
const STACK: usize = 512 << 10;

impl Compiler {
    /// Creates a compiler. With `fuel`, guest code counts it, which slows it down. In `directory`, compiled code is kept for later
    /// runs; if the directory cannot be used, a warning is logged and everything is compiled.
    pub(crate) fn new(
        fuel: bool,
        directory: Option<&Path>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut config = Config::new();
        let disk = directory.and_then(on_disk);
        config.cache(disk.clone());
        // The world of plugins is synchronous, and calls into a component take half the time without this.
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
        // The thread ends at the first tick after the last chain has been dropped.
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
        Ok(Self { engine, disk })
    }

    /// Returns how the cache on disk was used, if there is one.
    pub(crate) fn disk_stats(&self) -> Option<CodeCacheStats> {
        self.disk.as_ref().map(|cache| CodeCacheStats {
            hits: cache.cache_hits(),
            misses: cache.cache_misses(),
        })
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

/// Opens wasmtime's cache. It is keyed by the module, the version of wasmtime and the settings of the engine, limits its own size, and
/// replaces files atomically, so that processes can share it.
fn on_disk(directory: &Path) -> Option<Cache> {
    let open = || -> Result<Cache, Box<dyn Error>> {
        // wasmtime requires an absolute path, and does not report a directory that it cannot write to.
        let directory = std::path::absolute(directory)?;
        create_private(&directory)?;
        let probe = directory.join(format!("probe-{}", std::process::id()));
        fs::write(&probe, [])?;
        // Fails if another cache in this directory has removed the file, as it does with files that it does not know.
        drop(fs::remove_file(&probe));
        let mut config = CacheConfig::new();
        config.with_directory(directory);
        Ok(Cache::new(config)?)
    };
    match open() {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(
                "compiled code is not cached in `{}`: {error}",
                directory.display()
            );
            None
        }
    }
}

/// Creates a directory to which only the user can write, if it does not exist: the code in it will be executed.
fn create_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

impl CodeCache {
    /// Creates an empty cache. In `directory`, compiled code is also kept for later runs: see
    /// [`RuntimeConfig::code_cache_dir`](crate::RuntimeConfig::code_cache_dir).
    pub fn new(directory: Option<&Path>) -> Result<Self, LoadError> {
        let compiler =
            Compiler::new(false, directory).map_err(|source| LoadError::Runtime { source })?;
        Ok(Self {
            compiler,
            slots: Mutex::default(),
        })
    }

    /// Returns how the cache on disk was used, if there is one.
    pub fn disk_stats(&self) -> Option<CodeCacheStats> {
        self.compiler.disk_stats()
    }

    /// Returns the code of a plugin's module. Compiles it if it is not in the cache.
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
    use std::path::PathBuf;

    use super::*;

    const MODULE: &str = r#"(module (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) i32.const 0))"#;

    fn plugin(name: &str, text: &str) -> PluginSpec {
        PluginSpec::new(name, wat::parse_str(text).expect("text"))
    }

    #[test]
    fn code_is_compiled_once_for_each_module_and_engine() {
        let cache = CodeCache::new(None).expect("a compiler");
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
        let cache = CodeCache::new(None).expect("a compiler");
        for name in ["one", "another"] {
            let error = cache.code(&plugin(name, "(module)"), EngineKind::ProxyWasm);
            let error = error.err().expect("an error").to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    /// The files of code below a directory.
    fn files(directory: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => found.extend(files(&path)),
                false => found.push(path),
            }
        }
        // The cache keeps statistics beside the code.
        found.retain(|path| path.extension().is_none());
        found
    }

    #[test]
    fn compiled_code_is_kept_on_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let load = |text: &str| {
            let cache = CodeCache::new(Some(directory.path())).expect("a compiler");
            let code = cache.code(&plugin("one", text), EngineKind::ProxyWasm);
            assert!(code.is_ok());
            let stats = cache.disk_stats().expect("a cache on disk");
            (files(directory.path()), (stats.hits, stats.misses))
        };
        let (first, stats) = load(MODULE);
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!(stats, (0, 1));
        assert_eq!(load(MODULE), (first.clone(), (1, 0)));
        // A truncated file is replaced.
        fs::write(&first[0], b"").expect("a file");
        assert_eq!(load(MODULE).0, first);
        assert_ne!(fs::read(&first[0]).expect("a file"), b"");
        let other = MODULE.replace("i32.const 0", "i32.const 8");
        assert_eq!(load(&other).0.len(), 2);
    }

    /// wasmtime's cache removes files that it does not know, also the file with which another cache tries whether it can write.
    #[test]
    fn caches_share_a_directory() {
        for _ in 0..16 {
            let directory = tempfile::tempdir().expect("a directory");
            std::thread::scope(|scope| {
                let open = || (0..4).all(|_| on_disk(directory.path()).is_some());
                let threads = [(); 4].map(|()| scope.spawn(open));
                for thread in threads {
                    assert!(thread.join().expect("no panic"));
                }
            });
        }
    }

    #[test]
    fn unusable_cache_directory_is_ignored() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let cache = CodeCache::new(Some(file.path())).expect("a compiler");
        let code = cache.code(&plugin("one", MODULE), EngineKind::ProxyWasm);
        assert!(code.is_ok());
        assert_eq!(cache.disk_stats(), None);
    }
}
