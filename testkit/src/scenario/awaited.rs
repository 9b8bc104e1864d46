//! The requests that `arrived` and `release` steps wait for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// The requests that a step waits for.
#[derive(Debug)]
pub enum Awaited {
    /// Written as the name of a cluster, or `upstream`: all requests there.
    All(String),
    /// Requests for a path.
    Path(AwaitedPath),
}

/// Requests for a path at a cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AwaitedPath {
    /// The name of the cluster, or `upstream`.
    pub cluster: String,
    /// The path with the query, as received by the server.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
}

// === impl Awaited ===

impl Awaited {
    /// Returns the name of the cluster, or `upstream`.
    pub fn cluster(&self) -> &str {
        match self {
            Self::All(cluster) => cluster,
            Self::Path(requests) => &requests.cluster,
        }
    }

    /// Returns the path, if only requests for this path are meant.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::All(_) => None,
            Self::Path(requests) => Some(&requests.path),
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(cluster) => write!(f, "`{cluster}`"),
            Self::Path(AwaitedPath { cluster, path }) => write!(f, "`{cluster}`, path `{path}`"),
        }
    }
}

impl<'de> Deserialize<'de> for Awaited {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stated;
        impl<'de> de::Visitor<'de> for Stated {
            type Value = Awaited;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a cluster, or a mapping with `cluster` and `path`")
            }

            fn visit_str<E: de::Error>(self, cluster: &str) -> Result<Awaited, E> {
                Ok(Awaited::All(cluster.to_owned()))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Awaited, A::Error> {
                let stated = de::value::MapAccessDeserializer::new(map);
                AwaitedPath::deserialize(stated).map(Awaited::Path)
            }
        }
        deserializer.deserialize_any(Stated)
    }
}
