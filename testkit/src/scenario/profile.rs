//! The profile of a scenario: the control plane whose proxy is imitated.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_deploy::envoy;
use tidegate_host::proxy::profile;

/// The proxy whose path normalization and fields are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Envoy's defaults. Neither proxy adds fields.
    #[default]
    Envoy,
    /// The sidecar of a workload in Istio.
    Istio,
    /// A gateway of Envoy Gateway.
    EnvoyGateway,
}

// === impl Profile ===

impl From<Profile> for profile::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Envoy => Self::Envoy,
            Profile::Istio => Self::Istio,
            Profile::EnvoyGateway => Self::EnvoyGateway,
        }
    }
}

impl From<Profile> for envoy::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Envoy => Self::Envoy,
            Profile::Istio => Self::Istio,
            Profile::EnvoyGateway => Self::EnvoyGateway,
        }
    }
}
