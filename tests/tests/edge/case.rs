//! Reads the cases in `tests/edge`, and records outcomes in the files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use tidegate_components::workspace;
use tidegate_testkit::envoy::Release;
use tidegate_testkit::octets::Octets;

use crate::lanes::Proxy;
use crate::settings::{Seconds, Settings};

/// The cases of one kind: a file.
pub struct Kind {
    /// The name of the file, without its extension.
    pub name: String,
    path: PathBuf,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// A case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// The name, unique within its kind.
    pub name: String,
    /// Where the case comes from: sections of RFCs, issues, settings. For readers only.
    source: String,
    /// Settings of the proxies.
    #[serde(default)]
    pub settings: Settings,
    /// What the client does.
    #[serde(deserialize_with = "steps")]
    pub request: Vec<Step>,
    /// How the upstream responds to each request.
    #[serde(default = "usual_response", deserialize_with = "steps")]
    pub response: Vec<Step>,
    /// Whether the upstream responds when it has the head of a request. Otherwise, it reads the whole request first.
    #[serde(default)]
    pub early: bool,
    /// The outcome in Envoy. `None` until it is recorded.
    pub envoy: Option<String>,
    /// The outcome in the oldest supported release of Envoy, if it differs.
    #[serde(rename = "envoy-1.36")]
    envoy_1_36: Option<String>,
    /// The outcome in Tidegate's proxy, if it differs from that in Envoy.
    pub tidegate: Option<String>,
    /// The reason for this difference: a row in `docs/host-differences.md`.
    difference: Option<String>,
}

/// What one end of a connection does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes.
    Send(Bytes),
    /// Waits until these bytes have arrived. For clients.
    Await(Bytes),
    /// Waits until the proxy has forwarded these bytes to the other end.
    Reached(Bytes),
    /// Lets time pass. For clients.
    Elapse(Duration),
    /// Other clients send this request, each on its own connection. For clients.
    Others {
        /// The number of clients.
        count: usize,
        /// What each of them sends.
        request: Bytes,
    },
    /// Waits until this many of them have been answered. For clients.
    Answered(usize),
    /// Does something without bytes.
    Then(Then),
}

/// A step that consists of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Closes the connection for writing.
    HalfClose,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Lets time pass until something happens. For clients.
    Expire,
    /// Does not read until a step says so. For clients, as the first step.
    StopReading,
    /// Reads again. For clients.
    Read,
    /// Lets the upstream continue. For clients.
    Release,
    /// Waits until the upstream has ended its connection. For clients.
    AwaitEnd,
    /// Waits until the client lets the upstream continue. For upstreams.
    AwaitRelease,
    /// Waits until the proxy closes the connection. For upstreams.
    AwaitClose,
    /// Neither reads nor sends any more. For upstreams.
    Stall,
}

/// Bytes in which `{{bytes*number}}` stands for a repetition.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

/// The outcomes of a case, one for each of [`Proxy::ALL`].
pub type Outcomes = Vec<(Proxy, String)>;

/// Reads all cases.
pub fn kinds() -> Result<Vec<Kind>> {
    let folder = workspace::root().join("tests/edge");
    let mut kinds = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {folder:?}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "yaml") {
            let name = path.file_stem().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            kinds.push(
                Kind::read(name, path.clone()).with_context(|| format!("{}", path.display()))?,
            );
        }
    }
    kinds.sort_by(|left, right| left.name.cmp(&right.name));
    ensure!(!kinds.is_empty(), "no cases in {}", folder.display());
    Ok(kinds)
}

fn usual_response() -> Vec<Step> {
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    vec![Step::Send(Bytes(bytes.to_vec()))]
}

/// Reads one step, or a list.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stated {
        One(Octets),
        Many(Vec<StatedStep>),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum StatedStep {
        Send(Octets),
        Await { r#await: Octets },
        Reached { reached: Octets },
        Elapse { elapse: Seconds },
        Others { others: usize, request: Octets },
        Answered { answered: usize },
        Then { then: Then },
    }
    let bytes = |octets: Octets| Bytes::expand(&octets.0).map_err(de::Error::custom);
    Ok(match Stated::deserialize(deserializer)? {
        Stated::One(octets) => vec![Step::Send(bytes(octets)?)],
        Stated::Many(steps) => {
            let steps = steps.into_iter().map(|step| {
                Ok(match step {
                    StatedStep::Send(octets) => Step::Send(bytes(octets)?),
                    StatedStep::Await { r#await } => Step::Await(bytes(r#await)?),
                    StatedStep::Reached { reached } => Step::Reached(bytes(reached)?),
                    StatedStep::Elapse { elapse } => Step::Elapse(elapse.0),
                    StatedStep::Others { others, request } => Step::Others {
                        count: others,
                        request: bytes(request)?,
                    },
                    StatedStep::Answered { answered } => Step::Answered(answered),
                    StatedStep::Then { then } => Step::Then(then),
                })
            });
            steps.collect::<Result<_, D::Error>>()?
        }
    })
}

// === impl Kind ===

impl Kind {
    fn read(name: String, path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&path)?;
        let cases: Vec<Case> = serde_saphyr::from_str(&text)?;
        for (index, case) in cases.iter().enumerate() {
            case.check().with_context(|| case.name.clone())?;
            ensure!(
                cases[..index].iter().all(|other| other.name != case.name),
                "two cases are called `{}`",
                case.name
            );
        }
        Ok(Self { name, path, cases })
    }

    /// Returns the differences that cases name, each with the case.
    pub fn differences(&self) -> impl Iterator<Item = (String, String)> {
        self.cases.iter().filter_map(|case| {
            let difference = case.difference.clone()?;
            Some((difference, format!("{}/{}", self.name, case.name)))
        })
    }

    /// Writes the outcomes of the cases into the file. Everything else stays as it is.
    pub fn record(&self, outcomes: &[Outcomes]) -> Result<()> {
        let text = fs::read_to_string(&self.path)?;
        let mut updated = String::new();
        let mut parts = text.split("- name: ");
        updated.push_str(parts.next().unwrap_or_default());
        let parts: Vec<&str> = parts.collect();
        ensure!(
            parts.len() == self.cases.len(),
            "{}: every case must start with `- name: `, and nothing else may contain it",
            self.path.display()
        );
        for (index, (part, outcomes)) in parts.iter().zip(outcomes).enumerate() {
            updated.push_str("- name: ");
            updated.push_str(&recorded(part, outcomes));
            if index + 1 < parts.len() {
                updated.push('\n');
            }
        }
        fs::write(&self.path, updated)
            .with_context(|| format!("failed to write {}", self.path.display()))
    }
}

/// Returns the text of a case with new outcomes. A proxy that is not available keeps its outcome.
fn recorded(part: &str, outcomes: &Outcomes) -> String {
    let outcome = |proxy| {
        let found = outcomes.iter().find(|(other, _)| *other == proxy);
        found.map(|(_, outcome)| outcome)
    };
    let [newest, oldest] = Release::ALL;
    let (Some(envoy), Some(oldest)) =
        (outcome(Proxy::Envoy(newest)), outcome(Proxy::Envoy(oldest)))
    else {
        return format!("{}\n", part.trim_end());
    };
    let tidegate = outcome(Proxy::Tidegate).filter(|it| *it != envoy);
    let mut text = String::new();
    let mut is_outcome = false;
    for line in part.trim_end().lines() {
        let is_key = line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  -");
        if is_key {
            let key = line.trim_start().split(':').next().unwrap_or_default();
            is_outcome = ["envoy", "envoy-1.36", "tidegate"].contains(&key)
                || (key == "difference" && tidegate.is_none());
            if key == "difference" && tidegate.is_some() {
                // It follows the outcome, as the last line.
                continue;
            }
        }
        if !is_outcome {
            text.push_str(line);
            text.push('\n');
        }
    }
    let mut add = |key: &str, outcome: &str| {
        text.push_str(&format!("  {key}: |\n"));
        for line in outcome.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    };
    add("envoy", envoy);
    if oldest != envoy {
        add("envoy-1.36", oldest);
    }
    if let Some(tidegate) = tidegate {
        add("tidegate", tidegate);
        let known = part.lines().find(|it| it.starts_with("  difference: "));
        text.push_str(known.unwrap_or("  difference: to-be-named"));
        text.push('\n');
    }
    text
}

// === impl Case ===

impl Case {
    fn check(&self) -> Result<()> {
        ensure!(!self.source.is_empty(), "`source` is empty");
        let mut steps = self.request.iter().enumerate();
        ensure!(
            steps.all(|(index, step)| step.is_for_clients(index)),
            "a step of `request` is not for clients, or not at this place"
        );
        ensure!(
            self.response.iter().all(Step::is_for_upstreams),
            "a step of `response` is not for upstreams"
        );
        match (&self.tidegate, &self.difference) {
            (Some(tidegate), Some(_)) => ensure!(
                Some(tidegate) != self.envoy.as_ref(),
                "`tidegate` equals `envoy`; remove it"
            ),
            (None, None) => {}
            (Some(_), None) => {
                bail!("`difference` is missing: a row in docs/host-differences.md")
            }
            (None, Some(_)) => bail!("`difference` without `tidegate`"),
        }
        Ok(())
    }

    /// Returns the recorded outcome in a proxy.
    pub fn expected(&self, proxy: Proxy) -> Result<String> {
        let own = match proxy {
            Proxy::Tidegate => &self.tidegate,
            Proxy::Envoy(Release::V1_36_4) => &self.envoy_1_36,
            Proxy::Envoy(Release::V1_40_0) => &None,
        };
        let outcome = own.as_ref().or(self.envoy.as_ref());
        outcome
            .cloned()
            .context("no outcome is recorded; `BLESS=1` records it")
    }
}

// === impl Step ===

impl Step {
    fn is_for_clients(&self, index: usize) -> bool {
        match self {
            Self::Then(Then::StopReading) => index == 0,
            Self::Then(Then::AwaitRelease | Then::AwaitClose | Then::Stall) => false,
            _ => true,
        }
    }

    fn is_for_upstreams(&self) -> bool {
        match self {
            Self::Send(_) | Self::Reached(_) => true,
            Self::Then(then) => matches!(
                then,
                Then::HalfClose
                    | Then::Close
                    | Then::Reset
                    | Then::AwaitRelease
                    | Then::AwaitClose
                    | Then::Stall
            ),
            Self::Await(_) | Self::Elapse(_) | Self::Others { .. } | Self::Answered(_) => false,
        }
    }
}

// === impl Bytes ===

impl Bytes {
    /// Replaces repetitions.
    fn expand(stated: &[u8]) -> Result<Self, String> {
        let find = |bytes: &[u8], what: &[u8]| crate::message::find(bytes, what);
        let mut bytes = Vec::new();
        let mut rest = stated;
        while let Some(start) = find(rest, b"{{") {
            bytes.extend_from_slice(&rest[..start]);
            let wrong = || "expected `{{bytes*number}}`".to_owned();
            let end = start + find(&rest[start..], b"}}").ok_or_else(wrong)?;
            let inner = &rest[start + 2..end];
            let star = inner.iter().rposition(|byte| *byte == b'*');
            let (repeated, number) = inner.split_at(star.ok_or_else(wrong)?);
            let number = std::str::from_utf8(&number[1..]).map_err(|_| wrong())?;
            bytes.extend(repeated.repeat(number.parse().map_err(|_| wrong())?));
            rest = &rest[end + 2..];
        }
        bytes.extend_from_slice(rest);
        Ok(Self(bytes))
    }
}
