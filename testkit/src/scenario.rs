//! The format of scenario files.
//!
//! The JSON Schema is derived from these types. `docs/testing.md` documents them, and `check` validates what types cannot
//! express. [`runner`](crate::runner) runs a scenario. Parsing is strict: an unknown key is an error with file, line and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::metadata::Metadata;
use crate::octets::Octets;
use crate::runtimes::RuntimeKind;
use crate::schema;
use crate::source::{Location, Position, Source};
use crate::surroundings::Property;
use crate::verdict::Place;

mod awaited;
mod check;
mod metric;

pub use awaited::{Awaited, AwaitedPath};
pub use metric::{Histogram, MetricValue};

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

/// A plugin of the chain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// A package of the cargo workspace, or a `.wasm` file relative to the scenario file: a component or a Proxy-Wasm module.
    pub guest: String,
    /// The name of the plugin in log lines, unique in the chain. Default: the package, or the file name without its extension.
    pub name: Option<String>,
    /// The configuration. A string is passed unchanged, any other value as JSON.
    pub configuration: Option<serde_json::Value>,
    /// The file that contains the configuration, relative to the scenario file. The plugin receives its bytes unchanged.
    pub configuration_file: Option<PathBuf>,
    /// The contents of `configuration_file`.
    #[serde(skip)]
    pub file_content: Vec<u8>,
    /// The configuration of the plugin's virtual machine. A string is passed unchanged, any other value as JSON.
    pub vm_configuration: Option<serde_json::Value>,
    /// How streams are handled after the plugin has trapped.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Environment variables that are visible to the plugin.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// How streams are handled after a plugin has trapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// Active streams receive status 503. A new instance serves the streams that follow.
    #[default]
    Reload,
    /// All streams receive status 503 from then on.
    Closed,
    /// Streams bypass the plugin.
    Open,
}

/// A cluster to which plugins can send HTTP calls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cluster {
    /// A service with a response for each path.
    Answers(Vec<Answer>),
    /// A service that echoes requests.
    Echo,
    /// A service that refuses connections.
    Refused,
    /// A cluster without hosts.
    NoHosts,
}

/// The response of the upstream, or of the service of a cluster, to requests for a path.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answer {
    /// The path with the query, as received by the server.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// The status, from 200 to 599.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The headers, in order. Those that describe the body, such as `content-length`, are added.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body, with its length in `content-length`.
    #[serde(default)]
    pub body: Octets,
    /// The body in chunks, without `content-length`. Use either `body` or `chunks`.
    #[serde(default)]
    pub chunks: Vec<Octets>,
    /// The trailers, in order. They require `chunks`. Their names are listed in the `trailer` header.
    #[serde(default)]
    pub trailers: Vec<(String, Octets)>,
    /// The part of the response that is held until a `release` step: all of it, or the rest of the body.
    pub hold: Option<AnswerPart>,
    /// Where the server closes the connection: before the head, or within the body.
    #[serde(rename = "break")]
    pub breaks: Option<AnswerPart>,
}

/// A part of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPart {
    /// The whole response.
    Head,
    /// The second half of the body, or all chunks except the first.
    Body,
}

/// Expectations before the first request. If a plugin must reject its configuration, the reason that it logs must be in `logs`:
/// otherwise, any failure to start would match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Start {
    /// Whether a plugin must reject its configuration, so that the proxy does not start.
    #[serde(default)]
    pub refused: bool,
    /// Lines that plugins must log during startup, in order.
    #[serde(default)]
    pub logs: Vec<LinePattern>,
}

/// A step of a scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Sends a request and reads the complete response.
    Request(Box<Exchange>),
    /// Starts a request on a separate connection. Later steps continue it.
    Begin(Box<Begin>),
    /// Sends a chunk of the body of a request that was started with `open: true`.
    Chunk(Chunk),
    /// Waits for the complete response to a request that was started with `begin`.
    Finish(Finish),
    /// Closes the client's connection for a request that was started with `begin`.
    Hangup(String),
    /// Waits until a plugin has logged this line. The search starts after the line that the previous `until` step found.
    Until(LinePattern),
    /// Advances the clock of Tidegate's proxy. In Envoy, which uses the system clock, waits for the same time.
    Advance(Passing),
    /// Waits until a request has arrived at a cluster, or at `upstream`. Each request satisfies only one such step.
    Arrived(Awaited),
    /// Sends the response that a cluster, or `upstream`, has held the longest. Waits until there is one.
    Release(Awaited),
    /// Replaces the plugins. Requests in progress keep the plugins with which they started.
    Reload(Reload),
}

/// A request and the expected response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exchange {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path with its query, or `*` with the method `OPTIONS`.
    #[schemars(regex(pattern = r"^(/|\*$)"))]
    pub path: String,
    /// The headers, in order. `host` is added if it is not listed, and so are those that describe the body, such as `content-length`.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body, with its length in `content-length`.
    pub body: Option<Octets>,
    /// How many times the body is repeated, for large bodies.
    #[serde(default = "once")]
    pub times: usize,
    /// The trailers, in order. The body is then sent in chunks, and the names of the trailers are listed in the `trailer` header.
    #[serde(default)]
    pub trailers: Vec<(String, Octets)>,
    /// The expected response, and other effects of the request.
    #[serde(default)]
    pub expect: Expect,
}

/// The start of a request that later steps continue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Begin {
    /// The name by which later steps refer to the request.
    pub id: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path with its query, or `*` with the method `OPTIONS`.
    #[schemars(regex(pattern = r"^(/|\*$)"))]
    pub path: String,
    /// The headers.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body.
    pub body: Option<Octets>,
    /// Whether `chunk` steps send the body, with chunked transfer encoding.
    #[serde(default)]
    pub open: bool,
}

/// A chunk of a request body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chunk {
    /// The `id` of the request.
    pub id: String,
    /// The bytes.
    #[serde(default)]
    pub data: Octets,
    /// Whether this is the last chunk.
    #[serde(default)]
    pub end: bool,
}

/// The end of a request that was started with `begin`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Finish {
    /// The `id` of the request.
    pub id: String,
    /// The expected response, and other effects of the request.
    #[serde(default)]
    pub expect: Expect,
}

/// The plugins that replace the current ones.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reload {
    /// The new plugins of the chain. Default: those of the scenario, which are started again.
    pub plugins: Option<Vec<Plugin>>,
}

/// The expected response, and other effects of the request. What is not mentioned is not checked, but is still compared between
/// runtimes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The status.
    pub status: Option<u16>,
    /// All values of each header, in order, by name. An empty list: the header must be absent.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<Octets>>,
    /// The whole body.
    pub body: Option<Octets>,
    /// All values of each trailer, in order, by name, as in `headers`.
    #[serde(default)]
    pub trailers: BTreeMap<String, Vec<Octets>>,
    /// Whether the connection is closed before the response is complete.
    #[serde(default)]
    pub broken: bool,
    /// The request as received by the upstream, or `none`.
    pub upstream: Option<AtUpstream>,
    /// Lines that plugins must log, in order, after the lines that earlier steps expect.
    #[serde(default)]
    pub logs: Vec<LinePattern>,
}

/// Whether and how a request must reach the upstream.
#[derive(Debug)]
pub enum AtUpstream {
    /// Written as `none`: not even the head of the request reaches the upstream.
    Nothing,
    /// The complete request reaches the upstream exactly once, with these parts.
    Request(Received),
}

/// The expected parts of a request, as received by the upstream or a cluster.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Received {
    /// The method.
    pub method: Option<String>,
    /// The path with its query.
    pub path: Option<String>,
    /// All values of each header, in order, by name. An empty list: the header must be absent.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<Octets>>,
    /// The whole body.
    pub body: Option<Octets>,
    /// All values of each trailer, in order, by name, as in `headers`.
    #[serde(default)]
    pub trailers: BTreeMap<String, Vec<Octets>>,
}

/// A line of a plugin's log, `plugin level message`, in which `*` in the message matches any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePattern {
    /// The plugin's name.
    pub plugin: String,
    /// The level's name.
    pub level: String,
    /// The message, in which `*` matches any text.
    pub message: String,
}

/// A time in nanoseconds since 1970, written as `2026-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

/// A duration, written as `1.5s` or `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing(pub Duration);

fn ok() -> u16 {
    200
}

fn once() -> usize {
    1
}

fn get() -> String {
    "GET".to_owned()
}

// === impl Scenario ===

impl Scenario {
    /// Reads a scenario file in `folder`. `own` is the plugin under test, which a scenario without `plugins` uses.
    pub fn read(folder: &Path, file: &Path, own: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        let source = Source::parse(&text);
        let source = source.as_ref();
        let mut scenario: Scenario =
            serde_saphyr::from_str(&text).map_err(|error| located(&error, file, source))?;
        let below = file.strip_prefix(folder).unwrap_or(file).with_extension("");
        scenario.name = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        scenario.file = file.to_owned();
        let plugins = Place::default().key("plugins");
        let has_plugins = source.is_some_and(|source| source.get(&plugins).is_some());
        let is_implied = own.is_some() && scenario.plugins.is_empty() && !has_plugins;
        if let (Some(own), true) = (own, is_implied) {
            scenario.plugins.push(Plugin {
                guest: own.to_owned(),
                name: None,
                configuration: scenario.configuration.take(),
                configuration_file: scenario.configuration_file.take(),
                file_content: Vec::new(),
                vm_configuration: None,
                failure_policy: FailurePolicy::default(),
                environment: BTreeMap::new(),
            });
        }
        let below = file.parent().unwrap_or(Path::new(""));
        let checked = scenario.check();
        checked
            .and_then(|()| scenario.read_configurations(below, is_implied))
            .map_err(|(place, wrong)| {
                let position = source.map(|source| source.position(&place));
                anyhow!("{}: {wrong}", location(file, position))
            })?;
        Ok(scenario)
    }

    /// Reads the configuration files, whose paths are relative to `folder`. `is_implied` is true if the scenario has no `plugins`, and
    /// `configuration-file` is a top-level key.
    fn read_configurations(
        &mut self,
        folder: &Path,
        is_implied: bool,
    ) -> Result<(), (Place, String)> {
        for (number, plugin) in self.plugins.iter_mut().enumerate() {
            let place = match is_implied {
                true => Place::default().key("configuration-file"),
                false => Place::default().key("plugins").item(number),
            };
            plugin.read_configuration(folder, place)?;
        }
        for (number, step) in self.steps.iter_mut().enumerate() {
            let Step::Reload(reload) = step else {
                continue;
            };
            let place = Place::default().key("steps").item(number);
            let place = place.key("reload").key("plugins");
            for (number, plugin) in reload.plugins.iter_mut().flatten().enumerate() {
                plugin.read_configuration(folder, place.clone().item(number))?;
            }
        }
        Ok(())
    }

    /// Parses a changed text of this scenario. The plugins are kept.
    pub fn reread(&self, text: &str) -> Result<Self> {
        let scenario = Self {
            name: self.name.clone(),
            file: self.file.clone(),
            plugins: self.plugins.clone(),
            configuration: None,
            configuration_file: None,
            ..serde_saphyr::from_str(text)?
        };
        Ok(scenario)
    }

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

fn location(file: &Path, position: Option<Position>) -> Location {
    Location::new(file.display().to_string(), position)
}

/// Formats a parse error in one line that begins with its location. If a value does not have the type of its key, the parser does not
/// mention the key; it is found in `source`.
fn located(error: &serde_saphyr::Error, file: &Path, source: Option<&Source>) -> anyhow::Error {
    // The parser's message also contains the location and the line; both are removed.
    let message = error.without_snippet().to_string();
    let position = error.location().and_then(|at| {
        Some(Position {
            line: usize::try_from(at.line()).ok()?,
            column: usize::try_from(at.column()).ok()?,
        })
    });
    let Some(at) = position else {
        return anyhow!("{}: {message}", location(file, None));
    };
    let said = format!(" at line {}, column {}", at.line, at.column);
    let mut message = expected(message.strip_suffix(&said).unwrap_or(&message));
    if message.starts_with("expected ")
        && let Some(key) = source.and_then(|source| source.key_at(at))
    {
        message.insert_str(0, &format!("`{key}`: "));
    }
    anyhow!("{}: {message}", location(file, position))
}

/// Returns the parser's message in terms of YAML, without names of Rust types.
fn expected(message: &str) -> String {
    let Some(ty) = message.strip_prefix("invalid ") else {
        return message
            .replace("expected string scalar", "expected a string")
            .replace("expected sequence start", "expected a list")
            .replace("expected mapping start", "expected a mapping")
            .replace(
                "expected end of mapping after enum variant value",
                "expected a mapping with a single key",
            )
            .replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    };
    match ty {
        "bool" => "expected `true` or `false`".to_owned(),
        "u16" => format!("expected an integer from 0 to {}", u16::MAX),
        "u64" => format!("expected an integer from 0 to {}", u64::MAX),
        "u8" | "u32" | "usize" => "expected a non-negative integer".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "expected an integer".to_owned(),
        "f32" | "f64" => "expected a number".to_owned(),
        _ if ty.ends_with("expected a tuple of size 2") => {
            "expected a list with a name and a value".to_owned()
        }
        _ => message.to_owned(),
    }
}

/// Reads all scenarios in a folder and its subfolders, in the order of their names.
pub fn walk(folder: &Path, own: Option<&str>) -> Result<Vec<Scenario>> {
    files(folder)?
        .iter()
        .map(|file| Scenario::read(folder, file, own))
        .collect()
}

/// Returns the paths of all scenario files in a folder and its subfolders, in order.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry =
            entry.with_context(|| format!("cannot read the directory `{}`", folder.display()))?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(entry.into_path());
        }
    }
    files.sort();
    Ok(files)
}

// === impl Plugin ===

impl Plugin {
    /// Returns the name of the plugin in log lines.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| match self.file() {
            None => &self.guest,
            Some(file) => file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or(&self.guest),
        })
    }

    /// Returns the path of the guest, if it is a file and not a package.
    pub fn file(&self) -> Option<&Path> {
        let path = Path::new(&self.guest);
        let is_file = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        is_file.then_some(path)
    }

    /// Reads the configuration file, if there is one. Its path is relative to `folder`. `place` is where the scenario names it.
    fn read_configuration(&mut self, folder: &Path, place: Place) -> Result<(), (Place, String)> {
        if let Some(file) = &self.configuration_file {
            let path = folder.join(file);
            self.file_content = std::fs::read(&path).map_err(|error| {
                let wrong = format!(
                    "cannot read `configuration-file` `{}`: {error}",
                    path.display()
                );
                (place, wrong)
            })?;
        }
        Ok(())
    }

    /// Returns the bytes of the configuration, or an empty vector if the scenario has no configuration.
    pub fn configuration(&self) -> Vec<u8> {
        match &self.configuration {
            None => self.file_content.clone(),
            Some(value) => bytes(value),
        }
    }

    /// Returns the bytes of the configuration of the virtual machine, or an empty vector if the scenario has none.
    pub fn vm_configuration(&self) -> Vec<u8> {
        self.vm_configuration
            .as_ref()
            .map(bytes)
            .unwrap_or_default()
    }
}

/// Returns a string unchanged, and any other value as JSON.
fn bytes(value: &serde_json::Value) -> Vec<u8> {
    match value {
        serde_json::Value::String(text) => text.clone().into_bytes(),
        value => value.to_string().into_bytes(),
    }
}

// === impl AtUpstream ===

impl<'de> Deserialize<'de> for AtUpstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stated;
        impl<'de> de::Visitor<'de> for Stated {
            type Value = AtUpstream;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`none`, or what the upstream must receive, as a mapping")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AtUpstream, E> {
                match text {
                    "none" => Ok(AtUpstream::Nothing),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<AtUpstream, A::Error> {
                let stated = de::value::MapAccessDeserializer::new(map);
                Received::deserialize(stated).map(AtUpstream::Request)
            }
        }
        deserializer.deserialize_any(Stated)
    }
}

// === impl LinePattern ===

impl LinePattern {
    /// Returns whether a log line matches.
    pub fn matches(&self, plugin: &str, level: &str, message: &str) -> bool {
        self.plugin == plugin && self.level == level && glob(&self.message, message)
    }
}

impl std::fmt::Display for LinePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.plugin, self.level, self.message)
    }
}

/// Returns whether a text matches a pattern, in which `*` matches any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .any(|at| glob(rest, &text[at..]))
}

impl<'de> Deserialize<'de> for LinePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut parts = text.splitn(3, ' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(plugin), Some(level), Some(message))
                if tidegate_host::Level::ALL
                    .iter()
                    .any(|known| known.name() == level) =>
            {
                Ok(Self {
                    plugin: plugin.to_owned(),
                    level: level.to_owned(),
                    message: message.to_owned(),
                })
            }
            _ => Err(de::Error::custom(format!(
                "`{text}` is not a log line: expected `PLUGIN LEVEL MESSAGE`, such as `greeter info configured`"
            ))),
        }
    }
}

// === impl Moment ===

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339_weak(&text)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is not a valid time: expected a time in UTC since 1970, such as `2026-01-01T00:00:00Z`"
                ))
            })
    }
}

// === impl Passing ===

impl<'de> Deserialize<'de> for Passing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 0.001),
            (None, Some(number)) => (number, 1.0),
            (None, None) => (text.as_str(), f64::NAN),
        };
        number
            .parse::<f64>()
            .ok()
            .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!("`{text}` is not a valid duration: expected seconds or milliseconds, such as `1.5s` or `250ms`"))
            })
    }
}

#[cfg(test)]
mod tests;
