//! Reads the manifests that a command is given: files, directories, and stdin.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::file;
use crate::plugin::stdin_once;

/// The manifests that a command is given.
#[derive(Args)]
pub struct ManifestArgs {
    /// Manifests in YAML or JSON; `-` for stdin. Directories are searched recursively for .yaml, .yml and .json files
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// A file with manifests.
pub struct ManifestFile {
    /// Its name in messages.
    pub name: String,
    /// Its contents, which are not necessarily text.
    pub bytes: Vec<u8>,
}

/// The maximum depth of directories.
const MOST_FOLDERS: usize = 32;

// === impl ManifestArgs ===

impl ManifestArgs {
    /// Reads the files in the order of the arguments. The files of a directory are sorted by name.
    pub fn read(&self) -> anyhow::Result<Vec<ManifestFile>> {
        stdin_once(self.files.iter().filter(|it| file::is_stdio(it)).count())?;
        let mut files = Vec::new();
        for path in &self.files {
            for path in within(path)? {
                files.push(ManifestFile {
                    name: file::name(&path).into_owned(),
                    bytes: file::read(&path)?,
                });
            }
        }
        Ok(files)
    }
}

/// The file itself, or the manifests in a directory.
pub fn within(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if file::is_stdio(path) || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    look(path, MOST_FOLDERS, &mut found)
        .with_context(|| format!("cannot read the directory `{}`", path.display()))?;
    if found.is_empty() {
        bail!(
            "the directory `{}` contains no .yaml, .yml or .json file",
            path.display()
        );
    }
    Ok(found)
}

fn look(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let Some(deeper) = deeper.checked_sub(1) else {
                return Err(io::Error::other(format!(
                    "directories are nested more than {MOST_FOLDERS} levels deep"
                )));
            };
            look(&path, deeper, found)?;
        } else if path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|it| ending == *it))
        {
            found.push(path);
        }
    }
    Ok(())
}
