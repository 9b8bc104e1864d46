//! Settings of the proxies that a case states. They have Envoy's names.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::{Map, Value, json};
use tidegate_host::{CircuitBreakers, Timeouts};

/// The settings that differ from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long a connection may be without a request.
    idle_timeout: Option<Seconds>,
    /// How long a request may be in progress without anything being received or sent.
    stream_idle_timeout: Option<Seconds>,
    /// How long a client may take for the head of a request.
    request_headers_timeout: Option<Seconds>,
    /// How long a client may take for a request.
    request_timeout: Option<Seconds>,
    /// The timeout of the route.
    timeout: Option<Seconds>,
    /// How long connecting to the upstream may take.
    connect_timeout: Option<Seconds>,
    /// How many connections there are to the upstream.
    max_connections: Option<u32>,
    /// How many requests wait for a connection.
    max_pending_requests: Option<u32>,
    /// How many requests to the upstream are in progress.
    max_requests: Option<u32>,
    /// Where the proxy connects to.
    pub upstream: Reachability,
}

/// How the upstream reacts to connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reachability {
    /// It accepts them.
    #[default]
    Accepts,
    /// It refuses them.
    Refuses,
    /// It does not react.
    Silent,
}

/// A duration in Envoy's format, such as `0.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

// === impl Settings ===

impl Settings {
    /// Changes the configuration of a listener and of its cluster.
    pub fn apply(&self, listener: &mut Value, cluster: &mut Value) {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let mut set = |at: &[&str], value: Option<Seconds>| {
            if let Some(value) = value {
                let entry = at.iter().fold(&mut *manager, |entry, key| &mut entry[*key]);
                *entry = value.to_json();
            }
        };
        set(
            &["common_http_protocol_options", "idle_timeout"],
            self.idle_timeout,
        );
        set(&["stream_idle_timeout"], self.stream_idle_timeout);
        set(&["request_headers_timeout"], self.request_headers_timeout);
        set(&["request_timeout"], self.request_timeout);
        if let Some(timeout) = self.timeout {
            let host = &mut manager["route_config"]["virtual_hosts"][0];
            host["routes"][0]["route"]["timeout"] = timeout.to_json();
        }
        if let Some(timeout) = self.connect_timeout {
            cluster["connect_timeout"] = timeout.to_json();
        }
        let limits = self.limits().into_iter();
        let stated: Map<String, Value> = limits
            .filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?))))
            .collect();
        if !stated.is_empty() {
            cluster["circuit_breakers"] = json!({ "thresholds": [stated] });
        }
    }

    fn limits(&self) -> [(&'static str, Option<u32>); 3] {
        [
            ("max_connections", self.max_connections),
            ("max_pending_requests", self.max_pending_requests),
            ("max_requests", self.max_requests),
        ]
    }

    /// Returns the timeouts of Tidegate's proxy.
    pub fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let set = |to: &mut Option<Duration>, stated: Option<Seconds>| {
            if let Some(Seconds(stated)) = stated {
                *to = Some(stated);
            }
        };
        set(&mut timeouts.idle_timeout, self.idle_timeout);
        set(&mut timeouts.stream_idle_timeout, self.stream_idle_timeout);
        set(
            &mut timeouts.request_headers_timeout,
            self.request_headers_timeout,
        );
        set(&mut timeouts.request_timeout, self.request_timeout);
        set(&mut timeouts.route_timeout, self.timeout);
        if let Some(Seconds(stated)) = self.connect_timeout {
            timeouts.connect_timeout = stated;
        }
        timeouts
    }

    /// Returns the circuit breakers of Tidegate's proxy.
    pub fn circuit_breakers(&self) -> CircuitBreakers {
        let mut breakers = CircuitBreakers::default();
        let set = |to: &mut usize, stated: Option<u32>| {
            if let Some(stated) = stated.and_then(|it| usize::try_from(it).ok()) {
                *to = stated;
            }
        };
        set(&mut breakers.max_connections, self.max_connections);
        set(
            &mut breakers.max_pending_requests,
            self.max_pending_requests,
        );
        set(&mut breakers.max_requests, self.max_requests);
        breakers
    }
}

// === impl Seconds ===

impl Seconds {
    fn to_json(self) -> Value {
        json!(format!("{}s", self.0.as_secs_f64()))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text.strip_suffix('s').and_then(|it| it.parse().ok());
        seconds
            .and_then(|it| Duration::try_from_secs_f64(it).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is not a duration such as `0.5s`")))
    }
}
