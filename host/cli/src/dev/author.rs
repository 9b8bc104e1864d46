//! Watches the files of a plugin and builds it on every change, on a separate thread.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidegate_host::EngineKind;

use crate::account::Account;
use crate::dev::snapshot::{Difference, Snapshot};
use crate::logs::{detail, note, status};
use crate::place::Place;
use crate::plugin::{self, Plugin};
use crate::project::{Built, How, Project, Which};
use crate::stop::StopSignal;

/// Watches and builds a plugin.
pub struct Author {
    which: Which,
    how: How,
    /// The plugin's name. Default: the name of the package.
    name: Option<String>,
    /// The configuration, or `@FILE`.
    configuration: Option<String>,
    configuration_file: Option<PathBuf>,
    project: Project,
}

/// A version of the plugin.
pub struct Version {
    /// The component, and the configuration.
    pub plugin: Plugin,
    /// The summary of the component.
    pub account: Account,
    /// When the build ended or, if nothing had to be built, when the change was detected.
    pub since: Instant,
}

/// A message to the thread that serves.
pub enum News {
    /// There is a new version.
    Version(Box<Version>),
    /// The plugin cannot be built, or the configuration cannot be read.
    Failed(anyhow::Error),
    /// A signal has arrived.
    Stop(StopSignal),
}

/// The interval at which the files are examined. A change is reported when two successive snapshots are equal, because an editor may
/// write several times.
const LOOK: Duration = Duration::from_millis(50);

/// Taking a snapshot uses at most this fraction of the time, 1 / `SHARE`. If there are very many files, the interval is longer.
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

    /// Builds the plugin, and rebuilds it on every change, until the receiver is dropped.
    pub fn work(mut self, news: &Sender<News>) {
        let mut built = None;
        let mut difference = Difference::default();
        // Before the build, so that changes during the build are detected.
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
            for path in difference.files.iter().skip(1) {
                detail(|| format!("changed: {}", self.relative(path)));
            }
        }
    }

    /// The current version. Cargo runs only if the source has changed, or if nothing has been built yet. After a failed build, a change of
    /// only the configuration yields the component that was built last.
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

    /// Waits until files have changed and two successive snapshots are equal.
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
