//! The one directory outside a project in which Tidegate keeps what it has downloaded and compiled.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use etcetera::BaseStrategy as _;
use tidegate_host::CodeCacheStats;

/// The environment variable that overrides the directory.
pub const VARIABLE: &str = "TIDEGATE_CACHE";

/// The directory: `TIDEGATE_CACHE`, or `tidegate` in the user's cache directory. It may not exist yet.
pub fn folder() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return std::path::absolute(&named)
            .with_context(|| format!("{VARIABLE} is not a valid path: `{}`", named.display()));
    }
    let places = etcetera::choose_base_strategy().with_context(|| {
        format!("cannot find the home directory, which contains the cache; set {VARIABLE} to a directory")
    })?;
    Ok(places.cache_dir().join("tidegate"))
}

/// The directory of compiled code. If there is no cache directory, plugins are compiled at every start.
pub fn code() -> Option<PathBuf> {
    folder().ok().map(|folder| folder.join("code"))
}

/// Describes how the directory of compiled code was used.
pub fn usage(directory: Option<&Path>, stats: Option<CodeCacheStats>) -> String {
    match (directory, stats) {
        (Some(directory), Some(stats)) => format!(
            "code cache `{}`: {} hits, {} misses",
            directory.display(),
            stats.hits,
            stats.misses
        ),
        _ => "no code cache is used".to_owned(),
    }
}
