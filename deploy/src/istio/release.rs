//! Supported Istio releases, which differ in the documents that they admit.

use std::fmt;
use std::str::FromStr;

/// A minor release of Istio, represented by its latest patch release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Istio {
    /// Istio 1.28.
    V1_28,
    /// Istio 1.29.
    V1_29,
    /// Istio 1.30, the first release that serves TrafficExtension.
    V1_30,
    /// Istio 1.31.
    #[default]
    V1_31,
}

/// An error returned for a name that is not that of a supported release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Istio {0} is not supported: use one of {known}", known = names())]
pub struct UnknownIstio(String);

// === impl Istio ===

impl Istio {
    /// All supported releases, oldest first.
    pub const ALL: [Self; 4] = [Self::V1_28, Self::V1_29, Self::V1_30, Self::V1_31];

    /// Returns the release's name, such as `1.30`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_28 => "1.28",
            Self::V1_29 => "1.29",
            Self::V1_30 => "1.30",
            Self::V1_31 => "1.31",
        }
    }
}

impl FromStr for Istio {
    type Err = UnknownIstio;

    fn from_str(text: &str) -> Result<Self, UnknownIstio> {
        let mut all = Self::ALL.into_iter();
        all.find(|release| release.name() == text)
            .ok_or_else(|| UnknownIstio(text.to_owned()))
    }
}

impl fmt::Display for Istio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn names() -> String {
    Istio::ALL.map(Istio::name).join(", ")
}
