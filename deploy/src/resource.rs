//! What Kubernetes resources have in common: names, what they apply to, and how they are written as YAML.
//!
//! Names are checked when they are made, so that a manifest that could be written is one that the API server takes;
//! `resource/names.rs` has the rules.

pub(crate) mod names;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The resource's name.
    pub name: Name,
    /// Its namespace; `kubectl` has one for resources that do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
}

/// A name that Kubernetes takes: a DNS label, or several with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// A label that pods must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A resource that something is attached to, in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TargetRef {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// What a resource applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All workloads of its namespace, or of the mesh where it is in the root namespace.
    #[default]
    Everything,
    /// Workloads whose pods have all of these labels.
    Selector(BTreeMap<String, String>),
    /// What is attached by name; never empty.
    Targets(Vec<TargetRef>),
}

/// Why a name, a label or a reference is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a name.
    #[error(
        "`{0}` is not a valid Kubernetes name: use at most 253 characters: lowercase letters, digits, `-` and `.`; each part between dots must start and end with a letter or digit"
    )]
    Name(String),
    /// Not a label.
    #[error(
        "`{0}` is not a valid label: expected `KEY=VALUE`, such as `app=web`, with at most 63 letters, digits, `-`, `_` and `.` each; a key may have a DNS name and `/` as a prefix"
    )]
    Label(String),
    /// Not a reference.
    #[error("`{0}` is not a valid reference: expected `KIND/NAME`, such as `Gateway/public`")]
    TargetRef(String),
    /// A kind that nothing can be attached to.
    #[error("plugins cannot be attached to the kind `{0}`: supported are {KINDS}")]
    Kind(String),
}

/// The resource cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the resource as YAML")]
pub struct YamlError(#[source] serde_saphyr::SerializeError);

const KINDS: &str = "Gateway, GatewayClass, Service and ServiceEntry in Istio, Gateway, ListenerSet, HTTPRoute and GRPCRoute in Envoy Gateway";

/// A resource as it is written, its fields in the usual order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource<'a, Spec> {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: &'a Metadata,
    pub spec: Spec,
}

/// Writes a document, under lines of comment.
///
/// `kubectl` reads YAML 1.1, where a plain `y`, `on`, `1e3` or `0777` is no text; the writer quotes whatever is text and could be
/// read as something else by either version.
pub(crate) fn yaml(comment: &str, document: &impl Serialize) -> Result<String, YamlError> {
    // Folded lines would gain nothing and make texts with line ends hard to compare.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let body = serde_saphyr::to_string_with_options(document, options).map_err(YamlError)?;
    let mut text = String::with_capacity(comment.len() + body.len());
    for line in comment.lines() {
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&body);
    Ok(text)
}

// === impl Name ===

impl Name {
    /// A name like this text, where one can be made of it: file names and crates have underscores and capitals.
    pub fn like(text: &str) -> Result<Self, NameError> {
        text.to_lowercase().replace('_', "-").parse()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match names::is_dns_subdomain(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(NameError::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Label ===

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let not_one = || NameError::Label(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(not_one)?;
        let is_label = names::is_qualified_name(key) && names::is_label_value(value);
        match is_label {
            true => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            false => Err(not_one()),
        }
    }
}

// === impl TargetRef ===

impl FromStr for TargetRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let not_one = || NameError::TargetRef(text.to_owned());
        let (kind, name) = text.split_once('/').ok_or_else(not_one)?;
        let name: Name = name.parse().map_err(|_| not_one())?;
        let group = match kind {
            // The last three are for an error that says more: no kind of resource runs plugins there.
            "Gateway" | "GatewayClass" | "ListenerSet" | "HTTPRoute" | "GRPCRoute" | "TCPRoute"
            | "TLSRoute" | "UDPRoute" => "gateway.networking.k8s.io",
            "Service" => "",
            "ServiceEntry" => "networking.istio.io",
            _ => return Err(NameError::Kind(kind.to_owned())),
        };
        Ok(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.0,
        })
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        for good in ["a", "rate-limit", "a.b-c.1", "0"] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a..b",
            "A",
            "a_b",
            ".a",
            "ä",
            &"a".repeat(254),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert_eq!(
            Name::like("Rate_Limit").expect("a name").as_str(),
            "rate-limit"
        );
        assert!(Name::like("rate limit").is_err());
    }

    #[test]
    fn labels_have_keys_and_values() {
        let label: Label = "app.kubernetes.io/name=Web_1".parse().expect("a label");
        assert_eq!(
            (&*label.key, &*label.value),
            ("app.kubernetes.io/name", "Web_1")
        );
        assert!("app=".parse::<Label>().is_ok());
        for bad in ["app", "=x", "app=a*", "a/b/c=d", "app=-x", "/a=b", "a=b=c"] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
    }

    #[test]
    fn references_know_their_group() {
        for (text, group) in [
            ("Gateway/public", "gateway.networking.k8s.io"),
            ("ListenerSet/extra", "gateway.networking.k8s.io"),
            ("TCPRoute/database", "gateway.networking.k8s.io"),
            ("Service/reviews", ""),
            ("ServiceEntry/out", "networking.istio.io"),
        ] {
            let target: TargetRef = text.parse().expect(text);
            assert_eq!(
                (target.to_string().as_str(), target.group.as_str()),
                (text, group)
            );
        }
        for bad in [
            "Gateway",
            "Gateway/",
            "Gateway/A",
            "Pod/a",
            "gateway/a",
            "XListenerSet/a",
        ] {
            assert!(bad.parse::<TargetRef>().is_err(), "{bad}");
        }
    }
}
