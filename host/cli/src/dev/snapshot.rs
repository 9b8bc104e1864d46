//! Snapshots of a plugin's files.
//!
//! Files are polled, because the result depends only on how they differ from those that were built last. This works with every editor,
//! on every file system, including network file systems and those of containers, and for changes while cargo runs. A plugin has few
//! files, so a snapshot takes at most a millisecond.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use crate::project::Sources;

/// The state of a plugin's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, State>,
    /// The lock file, which cargo writes during a build.
    lock: Option<State>,
    lock_path: PathBuf,
    configuration: Option<Vec<u8>>,
}

/// The size and the modification time of a file. Cargo uses the modification time, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    size: u64,
    modified: Option<SystemTime>,
}

/// The differences between two snapshots.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Files of the source.
    pub files: Vec<PathBuf>,
    /// The configuration's text.
    pub configuration: bool,
}

/// The files in the directory of the workspace that affect a build, besides the directories of packages.
const WORKSPACE: [&str; 5] = [
    "Cargo.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
    ".cargo/config.toml",
    ".cargo/config",
];

/// The maximum depth of source directories.
const DEPTH: usize = 32;

// === impl Snapshot ===

impl Snapshot {
    /// Takes a snapshot.
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
            // Files that disappear during the walk are ignored. For files that cannot be read, cargo reports an error.
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

    /// The same snapshot with the current lock file, which cargo has written.
    pub fn with_lock(self) -> Self {
        Self {
            lock: State::of(&self.lock_path),
            ..self
        }
    }

    /// The differences from an older snapshot.
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

/// Whether an entry is a source file, or a directory that can contain some. Build output, hidden files, temporary files of editors and
/// the configuration, which is compared separately, are not.
fn is_source(entry: &DirEntry, target: &Path, configuration: Option<&Path>) -> bool {
    let name = entry.file_name().to_string_lossy();
    let passing = name.starts_with(['.', '#']) || name.ends_with('~') || name == "4913";
    if entry.file_type().is_dir() {
        // Cargo creates this file in every target directory.
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

    /// Whether manifests have changed, and therefore the packages that the plugin consists of.
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
