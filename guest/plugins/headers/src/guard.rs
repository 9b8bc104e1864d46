//! Fields that no rule can change, because a change would make receivers misread the message.

/// Names, some of which end in `*`.
#[derive(Debug)]
pub struct Guard(Vec<String>);

/// The fields that are protected by default: those that determine where a message ends, or that belong to a connection.
const DEFAULT: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The headers of a request or a response, or trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What downstream sent.
    Request,
    /// What upstream answered.
    Response,
    /// What follows a body.
    Trailers,
}

impl Default for Guard {
    fn default() -> Self {
        Guard(DEFAULT.map(str::to_owned).to_vec())
    }
}

impl Guard {
    /// Protects these names instead. They are in lowercase.
    pub fn new(names: Vec<String>) -> Self {
        Guard(names)
    }

    /// Whether a name is protected.
    pub fn protects(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|protected| match protected.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == protected,
            })
    }
}

impl Kind {
    /// Whether a name stands for one of its pseudo-headers, each of which it has exactly once. Proxies take a request's `host` for
    /// its `:authority`.
    pub fn owns(self, name: &str) -> bool {
        match self {
            Kind::Request => matches!(
                name,
                ":method" | ":path" | ":authority" | ":scheme" | "host"
            ),
            Kind::Response => name == ":status",
            Kind::Trailers => false,
        }
    }
}
