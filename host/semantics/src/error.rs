//! The error of starting plugins.

/// The error for a chain that cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The plugin rejected its configuration.
    #[error("plugin `{plugin}` rejects its configuration: {reason}")]
    Refused {
        /// The name of the plugin.
        plugin: String,
        /// The plugin's error message: what is invalid, and where.
        reason: String,
    },
    /// The plugin's code failed during startup or configuration.
    #[error("plugin `{plugin}` failed to start: {message}")]
    Trapped {
        /// The name of the plugin.
        plugin: String,
        /// The error message.
        message: String,
    },
    /// A compiled module is not used by any plugin of the chain.
    #[error("a compiled module is not used by any plugin of the chain")]
    Unused,
}
