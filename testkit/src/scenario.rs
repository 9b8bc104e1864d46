//! A scenario as it is written.
//!
//! The types here are the schema; `docs/testing.md` is its manual, and `check` has what types cannot say. What a scenario
//! means is in [`runner`](crate::runner). Reading is strict: an unknown key is an error that names file, line and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::octets::Octets;
use crate::runtimes::RuntimeKind;
use crate::schema;
use crate::source::Source;
use crate::surroundings::Property;
use crate::verdict::Place;

mod check;

/// One scenario.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it shows, in a sentence or two.
    pub about: String,
    /// The plugins of the chain, in the order that requests pass them. Without any, it is the plugin that is tested.
    #[serde(default)]
    pub plugins: Vec<Plugin>,
    /// The configuration of the plugin that is tested, where `plugins` is absent.
    pub configuration: Option<serde_json::Value>,
    /// The file with this configuration, relative to the scenario's. The plugin gets its bytes unchanged.
    pub configuration_file: Option<PathBuf>,
    /// When it begins, in our hosts. Envoy's clock is the machine's.
    pub clock: Option<Moment>,
    /// What plugins' random numbers begin with, in our hosts. Envoy's are the machine's.
    pub seed: Option<u64>,
    /// What plugins find in shared data, by key, in our hosts.
    #[serde(default)]
    pub shared_data: BTreeMap<String, Octets>,
    /// What every stream has for properties, beside or instead of what our hosts know of it.
    #[serde(default)]
    pub properties: Vec<Property>,
    /// What upstream answers, by path. Without any, upstream is the host's echo server.
    #[serde(default)]
    pub upstream: Vec<Answer>,
    /// The clusters that plugins can send HTTP calls to, by name.
    #[serde(default)]
    pub clusters: BTreeMap<String, Cluster>,
    /// What must be seen while the plugins start.
    #[serde(default)]
    pub start: Start,
    /// Runtimes that this scenario is not for, each with its reason.
    #[serde(default)]
    #[schemars(schema_with = "schema::runtimes")]
    pub not_in: BTreeMap<String, String>,
    /// What is done, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// All calls that clusters receive, by name of the cluster, each in the order of arrival.
    #[serde(default)]
    pub calls: BTreeMap<String, Vec<Received>>,
    /// The values of counters and gauges at the end, by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, u64>,
    /// Where it was read from, below the folder of scenarios, without its extension: `http-fields/get`.
    #[serde(skip)]
    pub name: String,
    /// The file that it was read from.
    #[serde(skip)]
    pub file: PathBuf,
}

/// One plugin of the chain.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugin {
    /// The crate that it is built from or, ending in `.wasm`, its file, relative to the scenario's.
    pub guest: String,
    /// Its name in logs; the guest's if absent, a file's without its ending. Two plugins of one chain have different names.
    pub name: Option<String>,
    /// Its configuration: text as it is, anything else as JSON.
    pub configuration: Option<serde_json::Value>,
    /// The file with its configuration, relative to the scenario's. The plugin gets its bytes unchanged.
    pub configuration_file: Option<PathBuf>,
    /// The bytes of this file.
    #[serde(skip)]
    pub file_content: Vec<u8>,
    /// What becomes of streams when it traps.
    #[serde(default)]
    pub failure_policy: FailurePolicy,
    /// Environment variables that it sees.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What becomes of streams when a plugin traps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailurePolicy {
    /// 503, and a fresh instance for the next.
    #[default]
    Reload,
    /// 503 from then on.
    Closed,
    /// They pass.
    Open,
}

/// A cluster that plugins can send HTTP calls to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cluster {
    /// A service that answers by path.
    Answers(Vec<Answer>),
    /// The host's echo server.
    Echo,
    /// A service that refuses connections.
    Refused,
    /// A cluster without hosts.
    NoHosts,
}

/// What upstream, or the service of a cluster, answers to requests for one path.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answer {
    /// The path, as it arrives.
    pub path: String,
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The headers, in order, beside those that frame the body.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body, with its length in `content-length`.
    #[serde(default)]
    pub body: Octets,
    /// The body in chunks instead, without a length.
    #[serde(default)]
    pub chunks: Vec<Octets>,
    /// The trailers, in order, behind chunks; the field `trailer` names them.
    #[serde(default)]
    pub trailers: Vec<(String, Octets)>,
    /// What is held until a `release` step: the whole answer, or the rest of its body.
    pub hold: Option<AnswerPart>,
    /// Where the connection is closed instead: before the head, or within the body.
    #[serde(rename = "break")]
    pub breaks: Option<AnswerPart>,
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPart {
    /// Status and headers, and what follows.
    Head,
    /// The body, from its second half or its second chunk on.
    Body,
}

/// What must be seen while the plugins start. A plugin that rejects its configuration must log
/// the reason: otherwise, any failure to start would match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Start {
    /// The proxy must not serve.
    #[serde(default)]
    pub refused: bool,
    /// Lines that plugins log while they start, in order.
    #[serde(default)]
    pub logs: Vec<LinePattern>,
}

/// One thing that is done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A request is sent and its response read to the end.
    Request(Box<Exchange>),
    /// A request is begun, on a connection of its own, and left alone.
    Begin(Box<Begin>),
    /// A piece of the body of a request that was begun `open`.
    Chunk(Chunk),
    /// The response of a request that was begun is awaited.
    Finish(Finish),
    /// The client of a request that was begun goes away.
    Hangup(String),
    /// Nothing more is done until a plugin has logged this line; each line serves once.
    Until(LinePattern),
    /// Time passes: the clock of our hosts is moved on, with Envoy there is nothing for it but to wait.
    Advance(Passing),
    /// Nothing more is done until a request has arrived at a cluster, or at `upstream`; each request serves once.
    Arrived(String),
    /// The answer that a cluster, or `upstream`, has held the longest is given. If there is none yet, it is awaited.
    Release(String),
}

/// A request and what must come back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exchange {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, in order, beside `host` and those that frame the body.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body, with its length in `content-length`.
    pub body: Option<Octets>,
    /// How many times the body is repeated, for a large one.
    #[serde(default = "once")]
    pub times: usize,
    /// The trailers, in order; the body is chunked then, and the field `trailer` names them.
    #[serde(default)]
    pub trailers: Vec<(String, Octets)>,
    /// What must come back.
    #[serde(default)]
    pub expect: Expect,
}

/// A request that is begun.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Begin {
    /// What later steps call it.
    pub id: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers.
    #[serde(default)]
    pub headers: Vec<(String, Octets)>,
    /// The body.
    pub body: Option<Octets>,
    /// The body comes in chunks, by `chunk` steps, and is chunked on the wire.
    #[serde(default)]
    pub open: bool,
}

/// A piece of a body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chunk {
    /// Whose body.
    pub id: String,
    /// The bytes.
    #[serde(default)]
    pub data: Octets,
    /// The body ends after it.
    #[serde(default)]
    pub end: bool,
}

/// The end of a request that was begun.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Finish {
    /// Which.
    pub id: String,
    /// What must come back.
    #[serde(default)]
    pub expect: Expect,
}

/// What must come back. What is not stated is not checked here, but still compared between runtimes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The status.
    pub status: Option<u16>,
    /// Headers by name, each with all its values in order; none where it must be absent.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<Octets>>,
    /// The whole body.
    pub body: Option<Octets>,
    /// Trailers by name, as headers.
    #[serde(default)]
    pub trailers: BTreeMap<String, Vec<Octets>>,
    /// The connection breaks before the response is complete.
    #[serde(default)]
    pub broken: bool,
    /// What reached upstream of this request.
    pub upstream: Option<AtUpstream>,
    /// Lines that plugins log, in order, after those that earlier steps stated.
    #[serde(default)]
    pub logs: Vec<LinePattern>,
}

/// What becomes of a request at upstream.
#[derive(Debug)]
pub enum AtUpstream {
    /// Written `none`: not even its head may reach upstream.
    Nothing,
    /// It reaches upstream once, to its end, as this.
    Request(Received),
}

/// What must have reached upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Received {
    /// The method.
    pub method: Option<String>,
    /// The path with its query.
    pub path: Option<String>,
    /// Headers by name, each with all its values in order; none where it must be absent.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<Octets>>,
    /// The whole body.
    pub body: Option<Octets>,
    /// Trailers by name, as headers.
    #[serde(default)]
    pub trailers: BTreeMap<String, Vec<Octets>>,
}

/// A plugin's log line: `plugin level message`, where `*` in the message stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePattern {
    /// The plugin's name.
    pub plugin: String,
    /// The level's name.
    pub level: String,
    /// The message, with `*` for what is left open.
    pub message: String,
}

/// A moment, in nanoseconds since 1970, written `2026-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

/// How much time passes, written `1.5s` or `250ms`.
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
    /// Reads one file below `folder`. `own` is the plugin that is tested where a scenario names none.
    pub fn read(folder: &Path, file: &Path, own: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        let mut scenario: Scenario =
            serde_saphyr::from_str(&text).map_err(|error| located(&error, file))?;
        let below = file.strip_prefix(folder).unwrap_or(file).with_extension("");
        scenario.name = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/");
        scenario.file = file.to_owned();
        let is_implied = own.is_some() && scenario.plugins.is_empty();
        if let (Some(own), []) = (own, &scenario.plugins[..]) {
            scenario.plugins.push(Plugin {
                guest: own.to_owned(),
                name: None,
                configuration: scenario.configuration.take(),
                configuration_file: scenario.configuration_file.take(),
                file_content: Vec::new(),
                failure_policy: FailurePolicy::default(),
                environment: BTreeMap::new(),
            });
        }
        let below = file.parent().unwrap_or(Path::new(""));
        let checked = scenario.check();
        checked
            .and_then(|()| scenario.read_configurations(below, is_implied))
            .map_err(|(place, wrong)| {
                let at = Source::parse(&text).map(|source| source.position(&place));
                let at = at.map_or_else(String::new, |at| format!(":{at}"));
                anyhow!("{}{at}: {wrong}", file.display())
            })?;
        Ok(scenario)
    }

    /// Reads the configurations that are in files, whose paths are relative to a folder. `is_implied`: `plugins` is absent, and the
    /// configuration is at the top.
    fn read_configurations(
        &mut self,
        folder: &Path,
        is_implied: bool,
    ) -> Result<(), (Place, String)> {
        for (number, plugin) in self.plugins.iter_mut().enumerate() {
            let Some(file) = &plugin.configuration_file else {
                continue;
            };
            let path = folder.join(file);
            plugin.file_content = std::fs::read(&path).map_err(|error| {
                let place = match is_implied {
                    true => Place::default().key("configuration-file"),
                    false => Place::default().key("plugins").item(number),
                };
                let wrong = format!(
                    "cannot read `configuration-file` `{}`: {error}",
                    path.display()
                );
                (place, wrong)
            })?;
        }
        Ok(())
    }

    /// The same scenario with another text. Its plugins stay as they are.
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

    /// Whether this scenario is for a runtime.
    pub fn is_for(&self, runtime: RuntimeKind) -> bool {
        self.unfit(runtime).is_none()
    }

    /// Why this scenario is not for a runtime, if it is not.
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

/// What is wrong with a file, in one line that begins with the place.
fn located(error: &serde_saphyr::Error, file: &Path) -> anyhow::Error {
    // The reader says the place by itself as well, and shows the line, which editors do better.
    let message = error.without_snippet().to_string();
    let Some(at) = error.location() else {
        return anyhow!("{}: {message}", file.display());
    };
    let (line, column) = (at.line(), at.column());
    let said = format!(" at line {line}, column {column}");
    let message = expected(message.strip_suffix(&said).unwrap_or(&message));
    anyhow!("{}:{line}:{column}: {message}", file.display())
}

/// The reader's message, without the names of Rust's types.
fn expected(message: &str) -> String {
    let Some(ty) = message.strip_prefix("invalid ") else {
        return message.replace("expected string scalar", "expected a string");
    };
    match ty {
        "bool" => "expected `true` or `false`".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "expected a non-negative integer".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "expected an integer".to_owned(),
        "f32" | "f64" => "expected a number".to_owned(),
        _ => message.to_owned(),
    }
}

/// Every scenario below a folder, in the order of their names.
pub fn walk(folder: &Path, own: Option<&str>) -> Result<Vec<Scenario>> {
    files(folder)?
        .iter()
        .map(|file| Scenario::read(folder, file, own))
        .collect()
}

/// Every file of a scenario below a folder, in order.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.with_context(|| format!("failed to walk {}", folder.display()))?;
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
    /// What logs call it.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| match self.file() {
            None => &self.guest,
            Some(file) => file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or(&self.guest),
        })
    }

    /// The file that the guest is, if it is one and no crate.
    pub fn file(&self) -> Option<&Path> {
        let path = Path::new(&self.guest);
        let is_file = path
            .extension()
            .is_some_and(|extension| extension == "wasm");
        is_file.then_some(path)
    }

    /// The bytes of its configuration; empty if it has none.
    pub fn configuration(&self) -> Vec<u8> {
        match &self.configuration {
            None => self.file_content.clone(),
            Some(serde_json::Value::String(text)) => text.clone().into_bytes(),
            Some(value) => value.to_string().into_bytes(),
        }
    }
}

// === impl AtUpstream ===

impl<'de> Deserialize<'de> for AtUpstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stated;
        impl<'de> de::Visitor<'de> for Stated {
            type Value = AtUpstream;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`none`, or what of a request reached upstream")
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
    /// Whether a line is meant.
    pub fn matches(&self, plugin: &str, level: &str, message: &str) -> bool {
        self.plugin == plugin && self.level == level && glob(&self.message, message)
    }
}

impl std::fmt::Display for LinePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.plugin, self.level, self.message)
    }
}

/// `*` stands for any text, everything else for itself.
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
                "`{text}` is not `plugin level message`"
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
