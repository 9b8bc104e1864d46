//! The manifests that a command is to look at: files, what folders hold, and stdin. What is in them is the command's matter.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::file;
use crate::plugin::stdin_once;

/// Where manifests are.
#[derive(Args)]
pub struct ManifestArgs {
    /// Manifests in YAML or JSON; `-` for stdin. Directories are searched recursively for .yaml, .yml and .json files
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// A file with manifests.
pub struct ManifestFile {
    /// What it is called in messages.
    pub name: String,
    /// What it holds, which need not be text.
    pub bytes: Vec<u8>,
}

/// How deep folders are looked into.
const MOST_FOLDERS: usize = 32;

// === impl ManifestArgs ===

impl ManifestArgs {
    /// The files in the order in which they were named, those of a folder in the order of their names.
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
