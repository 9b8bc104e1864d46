//! What a plugin's files are at one moment.
//!
//! They are looked at again and again, not listened for: what counts is how the files differ from those that were built last, and
//! that is the same however an editor saves, on every file system, network and containers' ones included, and when a change
//! comes while cargo runs. A plugin has few files, so a look takes a millisecond or less.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use crate::project::Sources;

/// Files, and what tells whether they have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, State>,
    /// Cargo writes it by itself, so that it changes while it builds.
    lock: Option<State>,
    lock_path: PathBuf,
    configuration: Option<Vec<u8>>,
}

/// A file's size, and when it was written. Cargo goes by the latter, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    size: u64,
    modified: Option<SystemTime>,
}

/// What is another in one of two snapshots.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Files of the source.
    pub files: Vec<PathBuf>,
    /// The configuration's text.
    pub configuration: bool,
}

/// What in the workspace's own folder has a say in how it is built, besides packages' own folders.
const WORKSPACE: [&str; 5] = [
    "Cargo.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
    ".cargo/config.toml",
    ".cargo/config",
];

/// How deep source folders are followed.
const DEPTH: usize = 32;

// === impl Snapshot ===

impl Snapshot {
    /// Looks at the files.
    pub fn of(sources: &Sources, target: &Path, configuration: Option<&Path>) -> Self {
        let lock_path = sources.workspace.join("Cargo.lock");
        let mut files = BTreeMap::new();
        for folder in &sources.folders {
            let entries = WalkDir::new(folder)
                .max_depth(DEPTH)
                .into_iter()
                .filter_entry(|entry| {
                    entry.depth() == 0 || is_source(entry, target, configuration)
                });
            // What goes away under the eyes is not there, and what cannot be read cannot be built either: cargo will say so.
            for entry in entries
                .flatten()
                .filter(|entry| !entry.file_type().is_dir())
            {
                if let Some(state) = State::of(entry.path()) {
                    files.insert(entry.into_path(), state);
                }
            }
        }
        for name in WORKSPACE {
            let path = sources.workspace.join(name);
            if let Some(state) = State::of(&path) {
                files.insert(path, state);
            }
        }
        files.remove(&lock_path);
        Self {
            files,
            lock: State::of(&lock_path),
            lock_path,
            configuration: configuration.and_then(|path| fs::read(path).ok()),
        }
    }

    /// The same, but with the lock file as it is now: it was cargo that wrote it.
    pub fn with_lock(self) -> Self {
        Self {
            lock: State::of(&self.lock_path),
            ..self
        }
    }

    /// In what the two differ.
    pub fn since(&self, before: &Self) -> Difference {
        let mut files: Vec<PathBuf> = Vec::new();
        for (path, state) in &self.files {
            if before.files.get(path) != Some(state) {
                files.push(path.clone());
            }
        }
        let gone = before
            .files
            .keys()
            .filter(|path| !self.files.contains_key(*path));
        files.extend(gone.cloned());
        if self.lock != before.lock {
            files.push(self.lock_path.clone());
        }
        Difference {
            files,
            configuration: self.configuration != before.configuration,
        }
    }
}

/// Whether an entry is source, or leads to some: not what is built, what tools keep for themselves, what editors leave for a
/// moment, or the configuration, which is looked at by itself.
fn is_source(entry: &DirEntry, target: &Path, configuration: Option<&Path>) -> bool {
    let name = entry.file_name().to_string_lossy();
    let passing = name.starts_with(['.', '#']) || name.ends_with('~') || name == "4913";
    if entry.file_type().is_dir() {
        // Every folder that cargo builds in has one.
        let built = || entry.path() == target || entry.path().join("CACHEDIR.TAG").is_file();
        return !passing && !built();
    }
    !passing && configuration != Some(entry.path())
}

// === impl State ===

impl State {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

// === impl Difference ===

impl Difference {
    /// Whether the snapshots are equal.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.configuration
    }

    /// Whether packages may be others, or others be part of the plugin.
    pub fn of_manifests(&self) -> bool {
        self.files.iter().any(|path| {
            path.file_name()
                .is_some_and(|name| name == "Cargo.toml" || name == "Cargo.lock")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_detects_only_relevant_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            let path = at(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("Cargo.toml", "a");
        write("src/lib.rs", "a");
        write("elsewhere/CACHEDIR.TAG", "a");
        let sources = Sources {
            folders: [folder.path().to_owned()].into(),
            workspace: folder.path().to_owned(),
        };
        let configuration = at("config.json");
        let look = || Snapshot::of(&sources, &at("target"), Some(&configuration));
        let before = look();
        for name in [
            "target/a.rs",
            "elsewhere/a.rs",
            ".git/index",
            "src/.lib.rs.swp",
            "src/lib.rs~",
            "src/#lib.rs#",
            "src/4913",
        ] {
            write(name, "text");
            assert!(look().since(&before).is_empty(), "{name}");
        }
        write("config.json", "{}");
        let difference = look().since(&before);
        assert!(difference.configuration && difference.files.is_empty());
        write("Cargo.lock", "a");
        assert_eq!(look().since(&before).files, [at("Cargo.lock")]);
        assert!(look().since(&before.with_lock()).files.is_empty());

        let before = look();
        // As editors save that write beside a file and then move.
        write("src/.new", "longer");
        fs::rename(at("src/.new"), at("src/lib.rs")).expect("a move");
        write("src/other.rs", "a");
        fs::remove_file(at("Cargo.toml")).expect("a file");
        write(".cargo/config.toml", "a");
        let after = look().since(&before);
        assert_eq!(
            after.files,
            [
                ".cargo/config.toml",
                "src/lib.rs",
                "src/other.rs",
                "Cargo.toml"
            ]
            .map(at)
        );
        assert!(after.of_manifests() && !after.configuration);
    }
}
