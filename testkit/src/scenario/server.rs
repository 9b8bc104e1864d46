//! The servers of a scenario, the upstream and the services of clusters, and their responses.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::octets::Octets;

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

fn ok() -> u16 {
    200
}
