//! The releases of Envoy that are supported, which differ in what modules may import and export.

use std::fmt;
use std::str::FromStr;

/// A minor release of Envoy. Its patch releases load the same modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Envoy {
    /// Envoy 1.36.
    V1_36,
    /// Envoy 1.37.
    V1_37,
    /// Envoy 1.38.
    V1_38,
    /// Envoy 1.39.
    V1_39,
    /// Envoy 1.40.
    V1_40,
}

/// Not the name of a supported release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Envoy {0} is not supported: use one of {known}", known = names())]
pub struct UnknownEnvoy(String);

// === impl Envoy ===

impl Envoy {
    /// All supported releases, the oldest first.
    pub const ALL: [Self; 5] = [
        Self::V1_36,
        Self::V1_37,
        Self::V1_38,
        Self::V1_39,
        Self::V1_40,
    ];

    /// Its name, such as `1.36`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_36 => "1.36",
            Self::V1_37 => "1.37",
            Self::V1_38 => "1.38",
            Self::V1_39 => "1.39",
            Self::V1_40 => "1.40",
        }
    }
}

impl FromStr for Envoy {
    type Err = UnknownEnvoy;

    fn from_str(text: &str) -> Result<Self, UnknownEnvoy> {
        let mut all = Self::ALL.into_iter();
        all.find(|release| release.name() == text)
            .ok_or_else(|| UnknownEnvoy(text.to_owned()))
    }
}

impl fmt::Display for Envoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn names() -> String {
    Envoy::ALL.map(Envoy::name).join(", ")
}
