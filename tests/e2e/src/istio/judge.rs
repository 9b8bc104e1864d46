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

/// A running judge, which is stopped when dropped.
pub struct Judge {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The verdict of the API server and istiod's webhook on one document.
#[derive(Deserialize)]
pub struct Verdict {
    /// The document's kind.
    pub kind: String,
    /// The document's name.
    pub name: String,
    /// The reasons for the rejection. Empty if the document is admitted.
    #[serde(default)]
    pub refusals: Vec<Refusal>,
    /// istiod's warnings about an admitted object.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The configuration that istiod passes to the plugin. Empty if there is none.
    #[serde(default)]
    pub configuration: String,
}

/// A reason for a rejection.
#[derive(Deserialize)]
pub struct Refusal {
    /// The rejecting component: `decode`, `schema`, `cel` or `webhook`.
    pub by: String,
    /// The component's error message.
    pub message: String,
}

/// The input of the agent's fetcher.
#[derive(Default)]
pub struct Fetch<'a> {
    /// The URL with its scheme.
    pub url: &'a str,
    /// The checksum as in a manifest. Empty if there is none.
    pub sha256: &'a str,
    /// The content of a pull secret.
    pub pull_secret: Option<&'a str>,
}

/// The module that the agent passes to Envoy, or why it rejects the image.
#[derive(Deserialize)]
pub struct Fetched {
    /// The SHA-256 digest of the module, in hexadecimal.
    #[serde(default)]
    pub sha256: String,
    /// The size of the module in bytes.
    #[serde(default)]
    pub size: u64,
    /// The reason for the rejection. Empty if the module was fetched.
    #[serde(default)]
    pub refusal: String,
}

/// An image in a layout that Tidegate does not create.
#[derive(Deserialize)]
pub struct Pushed {
    /// A description of the layout.
    pub name: String,
    /// The reference with a tag and without a scheme.
    pub reference: String,
    /// The digest that the tag refers to.
    pub digest: String,
    /// The digest of the manifest, if the tag refers to an index.
    #[serde(default)]
    pub child: Option<String>,
    /// Whether the agent must accept the image.
    pub agent: bool,
    /// Whether Envoy can run the module.
    pub envoy: bool,
}

/// The chains that istiod computes.
#[derive(Deserialize)]
pub struct Ordered {
    /// The Gateways of the Gateway API, as `namespace/name`, with the label of their pods that identifies the controller.
    pub gateways: BTreeMap<String, String>,
    /// The plugins in the chains of every requested proxy.
    pub chains: Vec<Chain>,
    /// All filters in the chains, with all of Istio's own filters enabled.
    pub filters: Vec<Filters>,
}

/// The properties of a listener that determine its plugins.
#[derive(Deserialize)]
pub struct Place {
    /// The index of the proxy in the request.
    pub workload: usize,
    /// `inbound`, `outbound`, `gateway` or `waypoint`.
    pub traffic: String,
    /// `http` or `network`.
    pub layer: String,
    /// The service, as `KIND/NAME in NAMESPACE`. Empty for all services without attached plugins.
    #[serde(default)]
    pub service: String,
    /// The port, or 0 if there is none.
    pub port: u16,
}

/// The plugins of a listener.
#[derive(Deserialize)]
pub struct Chain {
    /// The listener.
    #[serde(flatten)]
    pub place: Place,
    /// The phase, kind, namespace and name of each plugin, in order.
    pub plugins: Vec<String>,
}

/// All filters of a listener, as sent to Envoy.
#[derive(Deserialize)]
pub struct Filters {
    /// The listener.
    #[serde(flatten)]
    pub place: Place,
    /// The names of the filters. Plugins are represented by kind, namespace and name.
    pub filters: Vec<String>,
}

// === impl Judge ===

impl Judge {
    /// Starts a judge with the given CRDs. It has no credentials except those in requests, and ambient mode is enabled in its istiod, which
    /// waypoints require.
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

    /// Returns every rule in the CRDs of the given kinds, sorted.
    pub fn rules(&mut self, kinds: &[&str]) -> Result<Vec<String>> {
        self.ask(json!({ "rules": { "kinds": kinds } }))
    }

    /// Returns the verdict on each document of a stream.
    pub fn validate(&mut self, documents: &str) -> Result<Vec<Verdict>> {
        self.ask(json!({ "validate": { "documents": documents } }))
    }

    /// Fetches a module like the agent of a new pod.
    pub fn fetch(&mut self, what: &Fetch) -> Result<Fetched> {
        use base64::Engine as _;
        let secret = what
            .pull_secret
            .map(|secret| base64::engine::general_purpose::STANDARD.encode(secret));
        self.ask(
            json!({ "fetch": { "url": what.url, "sha256": what.sha256, "pullSecret": secret } }),
        )
    }

    /// Returns the chains that istiod computes for the given proxies from the plugins in a stream.
    pub fn order(&mut self, documents: &str, workloads: &[Value]) -> Result<Ordered> {
        self.ask(json!({ "order": { "documents": documents, "workloads": workloads } }))
    }

    /// Pushes images in every layout.
    pub fn push(&mut self, registry: &str, module: &Path, component: &Path) -> Result<Vec<Pushed>> {
        self.ask(
            json!({ "push": { "registry": registry, "module": module, "component": component } }),
        )
    }

    /// Sends a request, and returns the field of the response with the same name as that of the request.
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
        // The process ends when its standard input is closed. Its exit status is not needed.
        self.requests = None;
        _ = self.child.wait();
    }
}

// === impl Verdict ===

impl Verdict {
    /// Returns whether the document is admitted.
    pub fn admitted(&self) -> bool {
        self.refusals.is_empty()
    }

    /// Formats the verdict: `admitted`, or the rejecting components and their reasons.
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
