//! The settings of Envoy's connection manager that determine how it changes messages before plugins see them: its defaults, or those of a
//! control plane.
//!
//! `docs/profiles.md` lists the settings and where they come from. Tidegate's proxy has the same ones in `host/src/proxy/profile.rs`; the
//! test program `profiles` compares the two.

use serde_json::{Value, json};

/// The control plane whose settings Envoy is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// None: Envoy's defaults.
    #[default]
    Envoy,
    /// Istio, in the sidecar of a workload, for requests to this workload.
    Istio,
    /// Envoy Gateway.
    EnvoyGateway,
}

// === impl Profile ===

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Envoy, Self::Istio, Self::EnvoyGateway];

    /// Returns fields of the connection manager.
    pub(super) fn connection_manager(self) -> Value {
        match self {
            Self::Envoy => json!({}),
            Self::Istio => json!({
                "normalize_path": true,
                "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
                "use_remote_address": false,
                "server_name": "istio-envoy",
                "server_header_transformation": "OVERWRITE",
            }),
            Self::EnvoyGateway => json!({
                "normalize_path": true,
                "merge_slashes": true,
                "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
                "use_remote_address": true,
                "server_header_transformation": "PASS_THROUGH",
                "common_http_protocol_options": { "headers_with_underscores_action": "REJECT_REQUEST" },
            }),
        }
    }

    /// Returns fields of the router.
    pub(super) fn router(self) -> Value {
        match self {
            Self::Envoy | Self::Istio => json!({}),
            Self::EnvoyGateway => json!({ "suppress_envoy_headers": true }),
        }
    }

    /// Returns fields of the bootstrap.
    pub(super) fn bootstrap(self) -> Value {
        match self {
            Self::Envoy | Self::EnvoyGateway => json!({}),
            // By default, Envoy rejects a path with a fragment. With this value, it removes the fragment.
            Self::Istio => json!({
                "layered_runtime": {
                    "layers": [{
                        "name": "profile",
                        "static_layer": { "envoy.reloadable_features.http_reject_path_with_fragment": false },
                    }],
                },
            }),
        }
    }
}
