//! Patterns of log lines.

use serde::{Deserialize, Deserializer, de};

/// A line of a plugin's log, `plugin level message`, in which `*` in the message matches any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePattern {
    /// The plugin's name.
    pub plugin: String,
    /// The level's name.
    pub level: String,
    /// The message, in which `*` matches any text.
    pub message: String,
}

// === impl LinePattern ===

impl LinePattern {
    /// Returns whether a log line matches.
    pub fn matches(&self, plugin: &str, level: &str, message: &str) -> bool {
        self.plugin == plugin && self.level == level && glob(&self.message, message)
    }
}

impl std::fmt::Display for LinePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.plugin, self.level, self.message)
    }
}

/// Returns whether a text matches a pattern, in which `*` matches any text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
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
                "`{text}` is not a log line: expected `PLUGIN LEVEL MESSAGE`, such as `greeter info configured`"
            ))),
        }
    }
}
