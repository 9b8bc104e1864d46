//! Istio's two kinds for plugins, `WasmPlugin` and `TrafficExtension`, as types.
//!
//! Both say the same: which workloads, where in the chain, and the same [`WasmConfig`]; the older kind has the latter's fields
//! among its own. Fields that are not set are not written. How a manifest is made of them is in `manifest.rs`.

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::{Commented, DoubleQuoted};

/// A word of a closed list, as Istio writes it.
pub trait Word: Copy + 'static {
    /// All of them.
    const ALL: &'static [(&'static str, Self)];

    /// The word.
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
    /// Where in the filter chain; a plugin without a phase comes after those of all phases.
    Phase {
        /// Before Istio's authentication.
        Authn "AUTHN"
        /// Between Istio's authentication and authorization.
        Authz "AUTHZ"
        /// After Istio's authorization.
        Stats "STATS"
    }

    /// What happens when the plugin cannot be fetched or has trapped.
    FailStrategy {
        /// Requests are refused.
        Close "FAIL_CLOSE"
        /// Requests pass without the plugin.
        Open "FAIL_OPEN"
        /// Requests are refused until a fresh instance has started; needs Istio 1.27.
        Reload "FAIL_RELOAD"
    }

    /// When an image is fetched again.
    PullPolicy {
        /// Never while there is one of this name.
        IfNotPresent "IfNotPresent"
        /// At each change of the resource, if it has no digest.
        Always "Always"
    }

    /// Which traffic of a workload.
    MatchMode {
        /// What it sends; all that a gateway handles.
        Client "CLIENT"
        /// What it receives.
        Server "SERVER"
        /// Both.
        ClientAndServer "CLIENT_AND_SERVER"
    }

    /// What the plugin works on.
    PluginType {
        /// Requests and responses.
        Http "HTTP"
        /// Connections.
        Network "NETWORK"
    }
}

/// A plugin in a mesh: what `WasmPlugin` and `TrafficExtension` both say.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Where in the filter chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Higher is earlier among those of one phase. None is not zero: it comes after every number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Which traffic; all of it if there is none.
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
}

/// Some of a workload's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// The direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<MatchMode>,
    /// The ports; all if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

/// A port of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its number.
    pub number: u16,
}

/// The plugin itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmConfig {
    /// Where the module is.
    pub url: String,
    /// The digest of the image's manifest, or of the downloaded module. Always quoted: digits alone would be a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Commented<DoubleQuoted<String>>>,
    /// When the image is fetched again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// A secret of type `kubernetes.io/dockerconfigjson` in the resource's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_secret: Option<String>,
    /// Which of the module's plugins, if it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_name: Option<String>,
    /// HTTP if not set.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub plugin_type: Option<PluginType>,
    /// `FAIL_CLOSE` if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_strategy: Option<FailStrategy>,
    /// The configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_config: Option<Value>,
    /// The environment.
    #[serde(skip_serializing_if = "VmConfig::is_empty")]
    pub vm_config: VmConfig,
}

/// What the plugin's virtual machine is given.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VmConfig {
    /// Environment variables; no two have the same name.
    pub env: Vec<Variable>,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; none is the proxy's own.
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
            // The API server refuses a value beside this.
            None => map.serialize_entry("valueFrom", "HOST")?,
        }
        map.end()
    }
}
