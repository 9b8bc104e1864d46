//! The author's side of `dev`, on a thread of its own: what has changed is built, and what came of it is handed on.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidegate_host::EngineKind;

use crate::account::Account;
use crate::dev::snapshot::{Difference, Snapshot};
use crate::logs::{note, status};
use crate::place::Place;
use crate::plugin::{self, Plugin};
use crate::project::{Built, How, Project, Which};
use crate::stop::StopSignal;

/// Whoever edits, as seen from the files.
pub struct Author {
    which: Which,
    how: How,
    /// The plugin's name, if it is not to be that of the package.
    name: Option<String>,
    /// JSON, or the name of a file that it is in.
    configuration: Option<String>,
    configuration_file: Option<PathBuf>,
    project: Project,
}

/// A plugin as it is to be served from now on.
pub struct Version {
    /// The component, and the configuration.
    pub plugin: Plugin,
    /// What is in the component.
    pub account: Account,
    /// When cargo was through with it or, where there was nothing to build, when the change was seen.
    pub since: Instant,
}

/// What the server hears.
pub enum News {
    /// There is another version.
    Version(Box<Version>),
    /// There is none: the source does not build, or the configuration cannot be read.
    Failed(anyhow::Error),
    /// The signal has come.
    Stop(StopSignal),
}

/// How often the files are looked at. A change counts once two looks see the same: an editor may be about to write more.
const LOOK: Duration = Duration::from_millis(50);

/// A look may take this part of the time: where there are very many files, they are looked at less often.
const SHARE: u32 = 20;

// === impl Author ===

impl Author {
    /// Finds the project.
    pub fn new(
        which: Which,
        how: How,
        name: Option<String>,
        configuration: Option<String>,
    ) -> anyhow::Result<Self> {
        let configuration_file = configuration
            .as_deref()
            .and_then(plugin::file_of)
            .map(std::path::absolute)
            .transpose()
            .context("the configuration file has no name")?;
        let project = Project::find(&which)?;
        Ok(Self {
            which,
            how,
            name,
            configuration,
            configuration_file,
            project,
        })
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.project.name())
    }

    /// Builds, and again whenever something has changed, until nobody listens any more.
    pub fn work(mut self, news: &Sender<News>) {
        let mut built = None;
        let mut difference = Difference::default();
        // Taken before the build: what changes meanwhile is a change.
        let mut seen = self.look();
        loop {
            let came = self.version(&mut built, &difference);
            let report = match came {
                Ok(version) => News::Version(Box::new(version)),
                Err(error) => News::Failed(error),
            };
            if news.send(report).is_err() {
                return;
            }
            (seen, difference) = self.change(&seen.with_lock());
            let shown = difference.files.first().map_or_else(
                || "the configuration".to_owned(),
                |path| self.relative(path),
            );
            match difference.files.len() {
                0 | 1 => note(&format!("changed: {shown}")),
                count => note(&format!("changed: {shown} and {} more", count - 1)),
            }
        }
    }

    /// What is to be served now. Cargo is only asked if source has changed, or there is nothing built yet. If source does not
    /// build, a change of the configuration alone still gets what was built last.
    fn version(
        &mut self,
        last: &mut Option<(Built, Account)>,
        difference: &Difference,
    ) -> anyhow::Result<Version> {
        let mut since = Instant::now();
        if last.is_none() || !difference.files.is_empty() {
            status("");
            if difference.of_manifests() {
                self.project = Project::find(&self.which)?;
            }
            let built = self.project.build(&self.how)?;
            since = Instant::now();
            let account = Account::of(&built.bytes)
                .with_context(|| format!("`{}` is not a plugin", built.path.display()))?;
            *last = Some((built, account));
        }
        let (built, account) = last.as_ref().context("nothing has been built")?;
        let kind = EngineKind::detect(&built.bytes)
            .with_context(|| format!("`{}` is not WebAssembly", built.path.display()))?;
        let (configuration, configuration_file) = match &self.configuration {
            Some(text) => plugin::configured(text, self.project.name())?,
            None => (Vec::new(), None),
        };
        Ok(Version {
            plugin: Plugin {
                name: self.plugin().to_owned(),
                place: Place::File(built.path.clone()),
                image: None,
                bytes: built.bytes.clone(),
                kind,
                configuration,
                configuration_file,
            },
            account: account.clone(),
            since,
        })
    }

    fn look(&self) -> Snapshot {
        Snapshot::of(
            &self.project.sources(),
            self.project.target_folder(),
            self.configuration_file.as_deref(),
        )
    }

    /// Waits until the files are others, and then stay as they are for a moment.
    fn change(&self, seen: &Snapshot) -> (Snapshot, Difference) {
        let mut last: Option<Snapshot> = None;
        loop {
            let begun = Instant::now();
            let now = self.look();
            if last.as_ref() == Some(&now) {
                let difference = now.since(seen);
                if !difference.is_empty() {
                    return (now, difference);
                }
            }
            last = Some(now);
            thread::sleep(LOOK.max(begun.elapsed() * SHARE));
        }
    }

    fn relative(&self, path: &Path) -> String {
        let shown = path.strip_prefix(self.project.folder()).unwrap_or(path);
        shown.display().to_string()
    }
}
