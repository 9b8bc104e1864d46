//! The format of scenario files.
//!
//! The JSON Schema is derived from the types here and in the modules below, with which `read` parses files. `docs/testing.md` documents
//! them, and `check` validates what types cannot express. [`runner`](crate::runner) runs a scenario. Parsing is strict: an unknown key is
//! an error with file, line and column.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::metadata::Metadata;
use crate::octets::Octets;
use crate::runtimes::RuntimeKind;
use crate::schema;
use crate::surroundings::Property;

mod awaited;
mod check;
mod expectation;
mod line_pattern;
mod metric;
mod plugin;
mod profile;
mod read;
mod server;
mod step;
#[cfg(test)]
mod tests;
mod time;

pub use awaited::{Awaited, AwaitedPath};
pub use expectation::{AtUpstream, Expect, Received, Start};
pub use line_pattern::LinePattern;
pub use metric::{Histogram, MetricValue};
pub use plugin::{FailurePolicy, Plugin};
pub use profile::Profile;
pub use read::{files, walk};
pub use server::{Answer, AnswerPart, Cluster};
pub use step::{Begin, Chunk, Exchange, Finish, Reload, Step};
pub use time::{Moment, Passing};

/// A scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What the scenario shows, in one or two sentences.
    pub about: String,
    /// The plugins of the chain, in the order in which requests pass through them. Default: only the plugin under test.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub plugins: Vec<Plugin>,
    /// The configuration of the plugin under test. A string is passed unchanged, any other value as JSON. Not allowed with `plugins`.
    pub configuration: Option<serde_json::Value>,
    /// The file that contains the configuration, relative to the scenario file. The plugin receives its bytes unchanged.
    pub configuration_file: Option<PathBuf>,
    /// The proxy that is imitated: it determines how paths are normalized, and which fields are added. Default: `envoy`.
    pub profile: Option<Profile>,
    /// The time at which the scenario starts. Scenarios with `clock` are skipped in Envoy, which uses the system clock.
    pub clock: Option<Moment>,
    /// The seed of the plugins' random numbers. Scenarios with `seed` are skipped in Envoy, whose random numbers cannot be seeded.
    pub seed: Option<u64>,
    /// The initial shared data, by key. Scenarios with `shared-data` are skipped in Envoy.
    #[serde(default)]
    pub shared_data: BTreeMap<String, Octets>,
    /// Properties of every stream. They take precedence over those of Tidegate's proxy. Scenarios with `properties` are skipped in
    /// Envoy.
    #[serde(default)]
    pub properties: Vec<Property>,
    /// Metadata of the route, and dynamic metadata of every stream.
    #[serde(default)]
    pub metadata: Metadata,
    /// The responses of the upstream, by path. Default: the upstream echoes requests.
    #[serde(default)]
    pub upstream: Vec<Answer>,
    /// The clusters to which plugins can send HTTP calls, by name.
    #[serde(default)]
    pub clusters: BTreeMap<String, Cluster>,
    /// Expectations before the first request.
    #[serde(default)]
    pub start: Start,
    /// The runtimes in which the scenario is skipped, each with a reason.
    #[serde(default)]
    #[schemars(schema_with = "schema::runtimes")]
    pub not_in: BTreeMap<String, String>,
    /// The steps, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// All calls that each cluster must receive, by the name of the cluster, in the order of arrival.
    #[serde(default)]
    pub calls: BTreeMap<String, Vec<Received>>,
    /// The expected values of metrics at the end, by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricValue>,
    /// The path of the file relative to the scenario folder, without the extension: `http-fields/get`.
    #[serde(skip)]
    pub name: String,
    /// The path of the file.
    #[serde(skip)]
    pub file: PathBuf,
}

// === impl Scenario ===

impl Scenario {
    /// Returns the plugins that each `reload` step starts.
    pub fn reloads(&self) -> impl Iterator<Item = &[Plugin]> {
        self.steps.iter().filter_map(move |step| match step {
            Step::Reload(reload) => Some(reload.plugins.as_deref().unwrap_or(&self.plugins)),
            _ => None,
        })
    }

    /// Returns whether a request is in progress during a `reload` step.
    pub fn has_request_across_reload(&self) -> bool {
        let mut in_progress = 0_usize;
        self.steps.iter().any(|step| {
            match step {
                Step::Begin(_) => in_progress += 1,
                Step::Finish(_) | Step::Hangup(_) => in_progress = in_progress.saturating_sub(1),
                Step::Reload(_) => return in_progress > 0,
                _ => {}
            }
            false
        })
    }

    /// Returns all plugins: those of the chain, and those that `reload` steps start.
    pub fn all_plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().chain(self.reloads().flatten())
    }

    /// Returns whether the scenario runs in a runtime.
    pub fn is_for(&self, runtime: RuntimeKind) -> bool {
        self.unfit(runtime).is_none()
    }

    /// Returns why the scenario is skipped in a runtime, or `None` if it runs there.
    pub fn unfit(&self, runtime: RuntimeKind) -> Option<String> {
        let stated = self.not_in.iter().find(|(name, _)| runtime.is_named(name));
        match (stated, runtime) {
            (Some((_, reason)), _) => Some(reason.clone()),
            (None, RuntimeKind::Envoy(_)) => {
                let ours = [
                    ("clock", self.clock.is_some()),
                    ("seed", self.seed.is_some()),
                    ("shared-data", !self.shared_data.is_empty()),
                    ("properties", !self.properties.is_empty()),
                ];
                let stated = ours.into_iter().find(|(_, is_stated)| *is_stated);
                stated.map(|(key, _)| format!("`{key}` cannot be set in Envoy"))
            }
            (None, _) => None,
        }
    }
}
