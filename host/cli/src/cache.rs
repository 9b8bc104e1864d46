//! The one directory outside a project in which Tidegate keeps what it has downloaded and compiled.

use std::path::PathBuf;

use anyhow::Context as _;
use etcetera::BaseStrategy as _;

/// Names another folder.
pub const VARIABLE: &str = "TIDEGATE_CACHE";

/// The folder: `TIDEGATE_CACHE`, or `tidegate` in the user's folder for caches. It may not be there yet.
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

/// The directory of compiled code. Without a cache, plugins are compiled at every start.
pub fn code() -> Option<PathBuf> {
    folder().ok().map(|folder| folder.join("code"))
}
