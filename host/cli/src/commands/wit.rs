//! `tidegate wit`: the contract, for other languages' tools.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{file, logs};

/// Write the contract between plugins and proxies, the WIT package, for any language's tools
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Wit {
    /// The folder that the files go into; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  tidegate wit -o wit
  tidegate wit -o wit && wit-bindgen c wit --world all";

/// The files of the package. A test compares this list with the folder.
const FILES: &[(&str, &str)] = &[
    ("clock.wit", include_str!("../../../../wit/clock.wit")),
    (
        "http-bodies.wit",
        include_str!("../../../../wit/http-bodies.wit"),
    ),
    (
        "http-fields.wit",
        include_str!("../../../../wit/http-fields.wit"),
    ),
    (
        "http-filter.wit",
        include_str!("../../../../wit/http-filter.wit"),
    ),
    (
        "http-streams.wit",
        include_str!("../../../../wit/http-streams.wit"),
    ),
    (
        "local-responses.wit",
        include_str!("../../../../wit/local-responses.wit"),
    ),
    ("logging.wit", include_str!("../../../../wit/logging.wit")),
    ("on-log.wit", include_str!("../../../../wit/on-log.wit")),
    (
        "on-request-body.wit",
        include_str!("../../../../wit/on-request-body.wit"),
    ),
    (
        "on-request-headers.wit",
        include_str!("../../../../wit/on-request-headers.wit"),
    ),
    (
        "on-response-body.wit",
        include_str!("../../../../wit/on-response-body.wit"),
    ),
    (
        "on-response-headers.wit",
        include_str!("../../../../wit/on-response-headers.wit"),
    ),
    ("plugin.wit", include_str!("../../../../wit/plugin.wit")),
    (
        "stream-control.wit",
        include_str!("../../../../wit/stream-control.wit"),
    ),
    ("types.wit", include_str!("../../../../wit/types.wit")),
    ("worlds.wit", include_str!("../../../../wit/worlds.wit")),
];

// === impl Wit ===

impl Wit {
    pub fn execute(self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.output)
            .with_context(|| format!("cannot make the folder `{}`", self.output.display()))?;
        for (name, text) in FILES {
            file::write(&self.output.join(name), text.as_bytes())?;
        }
        let world = tidegate_adapter::WORLD;
        logs::note(&format!(
            "wrote {world}, {} files, to `{}`",
            FILES.len(),
            self.output.display()
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn wit_has_every_file_of_the_contract() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let there: BTreeSet<_> = fs::read_dir(&folder)
            .expect("the folder of the contract")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name in UTF-8")
            })
            .collect();
        let here: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(
            here, there,
            "`FILES` in commands/wit.rs does not list what is in wit/"
        );
    }
}
