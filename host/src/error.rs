//! Errors of loading and of starting plugins.

use tidegate_semantics::plugin::EngineKind;

pub use tidegate_semantics::error::StartError;

/// The error for plugins that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// wasmtime does not support this machine, or a thread could not be started.
    #[error("cannot run WebAssembly on this machine")]
    Runtime {
        /// The underlying error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes are not a WebAssembly binary.
    #[error(
        "plugin `{plugin}` is not a WebAssembly binary: expected a component or a Proxy-Wasm module"
    )]
    NotWasm {
        /// The name of the plugin.
        plugin: String,
    },
    /// The binary is not of the kind that the requested engine runs.
    #[error("plugin `{plugin}` requires the `{found}` engine, but the `{wanted}` engine was requested{}", fix(*.wanted))]
    WrongEngine {
        /// The name of the plugin.
        plugin: String,
        /// The requested engine.
        wanted: EngineKind,
        /// The engine that can run the binary.
        found: EngineKind,
    },
    /// The binary is invalid, or it uses a feature that the engine does not support.
    #[error("plugin `{plugin}` cannot be compiled")]
    Compile {
        /// The name of the plugin.
        plugin: String,
        /// The error reported by wasmtime.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The binary imports an item that this host does not provide.
    #[error(
        "plugin `{plugin}` imports an item that this host does not provide; build it for {world}"
    )]
    Import {
        /// The name of the plugin.
        plugin: String,
        /// The world that this host provides.
        world: &'static str,
        /// The error that identifies the import.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A required export is missing.
    #[error("plugin `{plugin}` does not export `{export}`; build it for {world}")]
    MissingExport {
        /// The name of the plugin.
        plugin: String,
        /// The name of the export.
        export: String,
        /// The world that this host runs.
        world: &'static str,
    },
    /// An export has the expected name and an unexpected type.
    #[error("plugin `{plugin}` exports `{export}` with a different type than in {world}: {reason}")]
    WrongType {
        /// The name of the plugin.
        plugin: String,
        /// The name of the export.
        export: String,
        /// The world that this host runs.
        world: &'static str,
        /// The difference between the types.
        reason: String,
    },
    /// A Proxy-Wasm module does not declare a supported ABI version.
    #[error(
        "plugin `{plugin}` declares no supported Proxy-Wasm ABI version: it must export one of \
         `proxy_abi_version_0_2_1`, `proxy_abi_version_0_2_0`, `proxy_abi_version_0_1_0`; build it with a Proxy-Wasm SDK, or build a component"
    )]
    UnknownAbi {
        /// The name of the plugin.
        plugin: String,
    },
}

// === impl LoadError ===

impl LoadError {
    /// Returns the name of the plugin that cannot be loaded, or `None` if the error does not concern a single plugin.
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Runtime { .. } => None,
            Self::NotWasm { plugin }
            | Self::WrongEngine { plugin, .. }
            | Self::Compile { plugin, .. }
            | Self::Import { plugin, .. }
            | Self::MissingExport { plugin, .. }
            | Self::WrongType { plugin, .. }
            | Self::UnknownAbi { plugin } => Some(plugin),
        }
    }
}

/// How to get a plugin that the engine runs.
fn fix(wanted: EngineKind) -> &'static str {
    match wanted {
        EngineKind::Component => "; the `component` engine runs only components",
        EngineKind::ProxyWasm => "; adapt the component first",
    }
}
