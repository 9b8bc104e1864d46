//! The one folder outside a project in which Tidegate keeps what it has fetched.

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
