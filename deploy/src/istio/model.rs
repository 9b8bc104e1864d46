//! Types for Istio's two plugin resources, `WasmPlugin` and `TrafficExtension`.
//!
//! Both kinds specify the workloads, the position in the filter chain and the same [`WasmConfig`]. `WasmPlugin`, the older
//! kind, has the fields of [`WasmConfig`] inline. Unset fields are not serialized. `manifest.rs` builds a manifest from
//! these types.

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::{Commented, DoubleQuoted};

/// An enumeration of the values that Istio defines for a field.
pub trait Word: Copy + 'static {
    /// All values, with their names in Istio.
    const ALL: &'static [(&'static str, Self)];

    /// Returns the value's name in Istio.
    fn word(self) -> &'static str;
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident $word:literal)* })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$case_doc])* $case),* }

        impl $crate::istio::model::Word for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$case)),*];

            fn word(self) -> &'static str {
                match self { $(Self::$case => $word),* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::istio::model::Word::word(*self))
            }
        }
    )* };
}
pub(crate) use words;

words! {
    /// The position in the filter chain. Plugins without a phase come after the plugins of all phases.
    Phase {
        /// Before Istio's authentication filters.
        Authn "AUTHN"
        /// Between Istio's authentication and authorization filters.
        Authz "AUTHZ"
        /// After Istio's authorization filters.
        Stats "STATS"
    }

    /// How requests are handled if the plugin cannot be fetched or has trapped.
    FailStrategy {
        /// Requests are rejected.
        Close "FAIL_CLOSE"
        /// Requests bypass the plugin.
        Open "FAIL_OPEN"
        /// Requests are rejected until a new instance has started. Requires Istio 1.27.
        Reload "FAIL_RELOAD"
    }

    /// When an image is pulled again.
    PullPolicy {
        /// Never, if an image with this name is already present.
        IfNotPresent "IfNotPresent"
        /// Whenever the resource changes, unless the image reference has a digest.
        Always "Always"
    }

    /// The direction of the traffic that a match selects.
    MatchMode {
        /// Outbound traffic of the workload. For gateways, all traffic.
        Client "CLIENT"
        /// Inbound traffic of the workload.
        Server "SERVER"
        /// Inbound and outbound traffic.
        ClientAndServer "CLIENT_AND_SERVER"
    }

    /// The type of filter that the plugin implements.
    PluginType {
        /// An HTTP filter, which processes requests and responses.
        Http "HTTP"
        /// A network filter, which processes connections.
        Network "NETWORK"
    }
}

/// The fields that `WasmPlugin` and `TrafficExtension` have in common.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The position in the filter chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The priority among the plugins of the same phase; higher values come first. `None` is not equivalent to zero:
    /// plugins without a priority come after all plugins with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The traffic that the plugin applies to. Empty means all traffic.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
}

/// Selects part of a workload's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// The direction of the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<MatchMode>,
    /// The ports. Empty means all ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

/// A port in a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port number.
    pub number: u16,
}

/// The configuration of the plugin and its module.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmConfig {
    /// The URL of the module.
    pub url: String,
    /// The digest of the image's manifest, or of the downloaded module. Always quoted, because a value that consists only
    /// of digits would otherwise be parsed as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Commented<DoubleQuoted<String>>>,
    /// When the image is pulled again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// The name of a secret of type `kubernetes.io/dockerconfigjson` in the resource's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_secret: Option<String>,
    /// The plugin to run, if the module contains several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_name: Option<String>,
    /// The type of filter. The default is `HTTP`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub plugin_type: Option<PluginType>,
    /// How failures are handled. The default is `FAIL_CLOSE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_strategy: Option<FailStrategy>,
    /// The plugin's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_config: Option<Value>,
    /// The configuration of the virtual machine, which consists of environment variables.
    #[serde(skip_serializing_if = "VmConfig::is_empty")]
    pub vm_config: VmConfig,
}

/// The configuration of the plugin's virtual machine.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VmConfig {
    /// Environment variables. Names are unique.
    pub env: Vec<Variable>,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// The variable's value. `None` means the value of the variable in the proxy's own environment.
    pub value: Option<String>,
}

// === impl VmConfig ===

impl VmConfig {
    fn is_empty(&self) -> bool {
        self.env.is_empty()
    }
}

// === impl Variable ===

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        match &self.value {
            Some(value) => map.serialize_entry("value", value)?,
            // The API server rejects a `value` in combination with this.
            None => map.serialize_entry("valueFrom", "HOST")?,
        }
        map.end()
    }
}
