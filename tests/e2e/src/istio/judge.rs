//! A judge as a process: one JSON object per line in each direction (`tests/istio/judge/main.go` is the other side). `e2e gateway` uses its
//! own judge in the same way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// A running judge, ended when dropped.
pub struct Judge {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What the API server and istiod's webhook say to one document.
#[derive(Deserialize)]
pub struct Verdict {
    /// As the document says.
    pub kind: String,
    /// As the document says.
    pub name: String,
    /// Empty where it is admitted.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// What istiod says to an object that it admits.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What istiod tells the plugin; nothing where there is no configuration.
    #[serde(default)]
    pub configuration: String,
}

/// Who refuses, and why.
#[derive(Deserialize)]
pub struct Refusal {
    /// `decode`, `schema`, `cel` or `webhook`.
    pub by: String,
    /// In their words.
    pub message: String,
}

/// What the agent is told.
#[derive(Default)]
pub struct Fetch<'a> {
    /// With its scheme.
    pub url: &'a str,
    /// As in a manifest; empty for none.
    pub sha256: &'a str,
    /// The content of a pull secret.
    pub pull_secret: Option<&'a str>,
}

/// What the agent hands to Envoy, or why it does not.
#[derive(Deserialize)]
pub struct Fetched {
    /// Of the module's bytes, in hex.
    #[serde(default)]
    pub sha256: String,
    /// Of the module.
    #[serde(default)]
    pub size: u64,
    /// Empty where it was fetched.
    #[serde(default)]
    pub refusal: String,
}

/// An image that no tool of ours makes.
#[derive(Deserialize)]
pub struct Pushed {
    /// What is special about it.
    pub name: String,
    /// With a tag, without a scheme.
    pub reference: String,
    /// Of what the tag names.
    pub digest: String,
    /// Of the manifest, where the tag names an index.
    #[serde(default)]
    pub child: Option<String>,
    /// Whether the agent is to take it.
    pub agent: bool,
    /// Whether Envoy then runs it.
    pub envoy: bool,
}

/// What istiod makes of plugins.
#[derive(Deserialize)]
pub struct Ordered {
    /// The Gateways of the Gateway API, as `namespace/name`, with the label of their pods by which istiod knows its own.
    pub gateways: BTreeMap<String, String>,
    /// Of every proxy that was asked about.
    pub chains: Vec<Chain>,
    /// The same where all of Istio's own filters are in use.
    pub filters: Vec<Filters>,
}

/// A listener, as far as plugins can tell it from others.
#[derive(Deserialize)]
pub struct Place {
    /// Which of those that were asked about.
    pub workload: usize,
    /// `inbound`, `outbound`, `gateway` or `waypoint`.
    pub traffic: String,
    /// `http` or `network`.
    pub layer: String,
    /// As `KIND/NAME in NAMESPACE`; empty for all to which no plugin is attached.
    #[serde(default)]
    pub service: String,
    /// 0 where there is none.
    pub port: u16,
}

/// The plugins of a listener.
#[derive(Deserialize)]
pub struct Chain {
    /// Which.
    #[serde(flatten)]
    pub place: Place,
    /// Phase, kind, namespace and name, in order.
    pub plugins: Vec<String>,
}

/// All that Envoy is told of a listener.
#[derive(Deserialize)]
pub struct Filters {
    /// Which.
    #[serde(flatten)]
    pub place: Place,
    /// By name, plugins by kind, namespace and name.
    pub filters: Vec<String>,
}

// === impl Judge ===

impl Judge {
    /// Starts it with the files of definitions. It finds no credentials but those it is told, and its istiod has ambient mode on, as
    /// waypoints want it.
    pub fn start(binary: &Path, definitions: &[PathBuf], scratch: &Path) -> Result<Judge> {
        let definitions = definitions.iter();
        let mut child = Command::new(binary)
            .args(definitions.flat_map(|path| [OsStr::new("--crds"), path.as_os_str()]))
            .env("PILOT_ENABLE_AMBIENT", "true")
            .env("DOCKER_CONFIG", scratch.join("no-docker-config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("the judge has no output")?;
        Ok(Judge {
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Every rule in the definitions of some kinds, sorted.
    pub fn rules(&mut self, kinds: &[&str]) -> Result<Vec<String>> {
        self.ask(json!({ "rules": { "kinds": kinds } }))
    }

    /// The verdict on each document of a stream.
    pub fn validate(&mut self, documents: &str) -> Result<Vec<Verdict>> {
        self.ask(json!({ "validate": { "documents": documents } }))
    }

    /// What the agent of a fresh pod does.
    pub fn fetch(&mut self, what: &Fetch) -> Result<Fetched> {
        use base64::Engine as _;
        let secret = what
            .pull_secret
            .map(|secret| base64::engine::general_purpose::STANDARD.encode(secret));
        self.ask(
            json!({ "fetch": { "url": what.url, "sha256": what.sha256, "pullSecret": secret } }),
        )
    }

    /// What istiod gives some proxies of the plugins in a stream.
    pub fn order(&mut self, documents: &str, workloads: &[Value]) -> Result<Ordered> {
        self.ask(json!({ "order": { "documents": documents, "workloads": workloads } }))
    }

    /// Pushes images of every shape.
    pub fn push(&mut self, registry: &str, module: &Path, component: &Path) -> Result<Vec<Pushed>> {
        self.ask(
            json!({ "push": { "registry": registry, "module": module, "component": component } }),
        )
    }

    /// The answer has the field that the request has.
    pub fn ask<T: for<'de> Deserialize<'de>>(&mut self, request: Value) -> Result<T> {
        let asked = request
            .as_object()
            .and_then(|fields| fields.keys().next().cloned())
            .context("the request has no field")?;
        let requests = self
            .requests
            .as_mut()
            .context("the judge has been stopped")?;
        writeln!(requests, "{request}").context("failed to send a request to the judge")?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("failed to read the judge's response")?;
        ensure!(!line.is_empty(), "the judge ended without a response");
        let mut answer: Value =
            serde_json::from_str(&line).context("the judge's response is not JSON")?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("the judge failed to handle `{asked}`: {error}");
        }
        let answer = answer.get_mut(&asked).map(Value::take);
        serde_json::from_value(answer.unwrap_or_else(|| json!([])))
            .with_context(|| format!("unexpected response of the judge to `{asked}`: {line}"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It ends when there are no more requests; nobody is left to hear how.
        self.requests = None;
        _ = self.child.wait();
    }
}

// === impl Verdict ===

impl Verdict {
    /// Whether nobody refuses it.
    pub fn admitted(&self) -> bool {
        self.refusals.is_empty()
    }

    /// `admitted`, or who refuses it and why.
    pub fn words(&self) -> String {
        if self.admitted() {
            return "admitted".to_owned();
        }
        let refusals: Vec<String> = self
            .refusals
            .iter()
            .map(|refusal| format!("refused by {}: {}", refusal.by, refusal.message))
            .collect();
        refusals.join("; ")
    }
}
