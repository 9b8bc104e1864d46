//! The option `--profile`, which several commands have.

use clap::ValueEnum;
use tidegate_deploy::envoy;
use tidegate_host::proxy::profile::Profile;
use tidegate_testkit::scenario;

/// The proxy whose path normalization and fields are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// Envoy's defaults
    #[default]
    Envoy,
    /// The sidecar of a workload in Istio
    Istio,
    /// A gateway of Envoy Gateway
    EnvoyGateway,
}

// === impl ProfileArg ===

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Envoy => Self::Envoy,
            ProfileArg::Istio => Self::Istio,
            ProfileArg::EnvoyGateway => Self::EnvoyGateway,
        }
    }
}

impl From<ProfileArg> for envoy::Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Envoy => Self::Envoy,
            ProfileArg::Istio => Self::Istio,
            ProfileArg::EnvoyGateway => Self::EnvoyGateway,
        }
    }
}

impl From<ProfileArg> for scenario::Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Envoy => Self::Envoy,
            ProfileArg::Istio => Self::Istio,
            ProfileArg::EnvoyGateway => Self::EnvoyGateway,
        }
    }
}
