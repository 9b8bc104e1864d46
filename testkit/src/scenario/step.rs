//! The steps of a scenario: requests, and what happens between and during them.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::octets::Octets;
use crate::scenario::{Awaited, Expect, LinePattern, Passing, Plugin};

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

fn once() -> usize {
    1
}

fn get() -> String {
    "GET".to_owned()
}
