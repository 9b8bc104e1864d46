//! What a scenario expects: of the start, of a response, and of a request as a server receives it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::octets::Octets;
use crate::scenario::LinePattern;

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
