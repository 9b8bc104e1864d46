//! The format of the files in `tests/parity`: the configurations of a filter of Envoy and of a plugin, requests, and the differences
//! that are known.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::octets::Octets;
use tidegate_testkit::scenario::{self, Answer};

/// A case. The directory of its file is its kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// What the case compares, in one or two sentences.
    #[serde(rename = "about")]
    _about: String,
    /// The configuration of Envoy's filter. For `cors`, the policy of the route.
    pub envoy: Map<String, Value>,
    /// Other filters of Envoy before it, for what the plugin does, too.
    #[serde(default)]
    pub envoy_filters: Vec<Value>,
    /// What the route needs for Envoy's filter. The plugin's listener does not have it.
    #[serde(default)]
    pub envoy_route: Map<String, Value>,
    /// The configuration of the plugin. For `cors`, its field `cors`.
    plugin: Map<String, Value>,
    /// Routes before the one for all paths. Those of the plugin's listener have no `typed_per_filter_config`.
    #[serde(default)]
    pub routes: Vec<Map<String, Value>>,
    /// Dynamic metadata of every stream.
    #[serde(default)]
    pub dynamic_metadata: Map<String, Value>,
    /// The responses of the upstream.
    pub upstream: Vec<Answer>,
    /// The requests, which are sent one after the other.
    pub requests: Vec<Request>,
    /// The known differences, by reason.
    #[serde(default)]
    pub differences: Vec<Difference>,
    /// Whether Envoy's filter is to change nothing about the requests and responses.
    #[serde(default)]
    pub changes_nothing: bool,
    /// The runtime that the case is for. Default: all releases of Envoy.
    only_in: Option<String>,
    /// The kind and the name of the file.
    #[serde(skip)]
    pub name: String,
    /// Which filter is compared with which plugin.
    #[serde(skip)]
    pub kind: Kind,
    /// The path of the file, relative to the workspace.
    #[serde(skip)]
    pub file: PathBuf,
}

/// A request, or several that are the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, in order.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body.
    pub body: Option<Octets>,
    /// The trailers, in order.
    #[serde(default)]
    pub trailers: Vec<(String, Octets)>,
    /// How often the request is sent.
    #[serde(default = "once")]
    pub times: usize,
}

/// Differences that have the same reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Difference {
    /// The reason, a sentence on the plugin's page.
    pub reason: String,
    /// The differences, as the test reports them: what Envoy's filter does versus what the plugin does.
    pub found: Vec<String>,
    /// The runtime in which they are found. Default: all for which the case is.
    only_in: Option<String>,
}

/// A filter of Envoy, and the plugin that replaces it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// `local_ratelimit` and `rate-limit`.
    #[default]
    RateLimit,
    /// `header_mutation` and `headers`.
    Headers,
    /// `cors`, and the field `cors` of `headers`.
    Cors,
}

// === impl Case ===

impl Case {
    /// Reads all cases.
    pub fn all() -> Result<Vec<Self>> {
        let root = workspace::root();
        let folder = root.join("tests/parity");
        let mut cases = Vec::new();
        for file in scenario::files(&folder)? {
            let case = Self::read(&folder, file);
            cases.push(case?);
        }
        ensure!(!cases.is_empty(), "{} has no cases", folder.display());
        Ok(cases)
    }

    fn read(folder: &std::path::Path, file: PathBuf) -> Result<Self> {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        let mut case: Self = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is not a case", file.display()))?;
        let below = file.strip_prefix(folder)?.with_extension("");
        let parts: Vec<String> = below
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        case.name = parts.join("/");
        case.kind = match parts[0].as_str() {
            "rate-limit" => Kind::RateLimit,
            "headers" => Kind::Headers,
            "cors" => Kind::Cors,
            other => bail!(
                "{}: `{other}` is not a kind: use `rate-limit`, `headers` or `cors`",
                file.display()
            ),
        };
        let differences = case.differences.iter();
        let named = differences.filter_map(|difference| difference.only_in.as_ref());
        for runtime in named.chain(&case.only_in) {
            ensure!(
                Release::ALL.iter().any(|it| it.runtime() == runtime),
                "{}: there is no runtime `{runtime}`",
                file.display()
            );
        }
        case.file = file.strip_prefix(workspace::root())?.to_owned();
        Ok(case)
    }

    /// Returns whether the case runs in a release of Envoy.
    pub fn is_for(&self, release: Release) -> bool {
        is_for(self.only_in.as_ref(), release)
    }

    /// Returns the differences that are listed for a release of Envoy.
    pub fn listed(&self, release: Release) -> Vec<&String> {
        self.differences
            .iter()
            .filter(|difference| is_for(difference.only_in.as_ref(), release))
            .flat_map(|difference| &difference.found)
            .collect()
    }

    /// Returns the configuration that the plugin reads.
    pub fn configuration(&self) -> Value {
        match self.kind {
            Kind::RateLimit | Kind::Headers => Value::Object(self.plugin.clone()),
            Kind::Cors => serde_json::json!({ "cors": self.plugin }),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// Returns the name of Envoy's filter.
    pub fn filter(self) -> &'static str {
        match self {
            Self::RateLimit => "envoy.filters.http.local_ratelimit",
            Self::Headers => "envoy.filters.http.header_mutation",
            Self::Cors => "envoy.filters.http.cors",
        }
    }

    /// Returns the message of the filter's configuration.
    pub fn message(self) -> &'static str {
        match self {
            Self::RateLimit => "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            Self::Headers => "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            Self::Cors => "envoy.extensions.filters.http.cors.v3.Cors",
        }
    }

    /// Returns the crate of the plugin.
    pub fn plugin(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::Headers | Self::Cors => "headers",
        }
    }

    /// Returns the page that documents the plugin, and its differences from Envoy's filter.
    pub fn page(self) -> &'static str {
        match self {
            Self::RateLimit => "docs/rate-limit.md",
            Self::Headers | Self::Cors => "docs/headers.md",
        }
    }
}

fn is_for(only_in: Option<&String>, release: Release) -> bool {
    only_in.is_none_or(|runtime| runtime == release.runtime())
}

fn get() -> String {
    "GET".to_owned()
}

fn once() -> usize {
    1
}
