//! Types shared by Kubernetes resources: names, the workloads or resources they apply to, and serialization to YAML.
//!
//! Names are validated on construction, so that the API server accepts the names in every manifest that can be written. The
//! rules are in `resource/names.rs`.

pub(crate) mod names;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A resource's name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The resource's name.
    pub name: Name,
    /// The resource's namespace. If it is `None`, `kubectl` uses its current namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
}

/// A valid Kubernetes name: a DNS label, or several DNS labels separated by dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// A valid name of a Kubernetes namespace: a single DNS label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Namespace(String);

/// A label that pods must have to be selected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The label's key.
    pub key: String,
    /// The label's value.
    pub value: String,
}

/// A reference to a resource in the same namespace that a policy or plugin is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TargetRef {
    /// The API group. Empty for the core group.
    pub group: String,
    /// The resource's kind.
    pub kind: String,
    /// The resource's name.
    pub name: String,
}

/// The workloads or resources that a resource applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All workloads in the resource's namespace, or in the mesh if the resource is in the root namespace.
    #[default]
    Everything,
    /// Workloads whose pods have all of these labels.
    Selector(BTreeMap<String, String>),
    /// Resources that are referenced by name. Never empty.
    Targets(Vec<TargetRef>),
}

/// An error returned for an invalid name, label or reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is not a valid name.
    #[error(
        "`{0}` is not a valid Kubernetes name (a DNS subdomain): use lowercase letters, digits, `-` and `.`, at most 253 characters; each part between dots must start and end with a letter or digit"
    )]
    Name(String),
    /// The text is not a valid namespace.
    #[error(
        "`{0}` is not a valid namespace (a DNS label): use at most 63 lowercase letters, digits and `-`, starting and ending with a letter or digit"
    )]
    Namespace(String),
    /// The text is not a valid label.
    #[error(
        "`{0}` is not a valid label: expected `KEY=VALUE`, such as `app=web`, with at most 63 letters, digits, `-`, `_` and `.` each; a key may have a DNS name and `/` as a prefix"
    )]
    Label(String),
    /// The text is not a valid reference.
    #[error("`{0}` is not a valid reference: expected `KIND/NAME`, such as `Gateway/public`")]
    TargetRef(String),
    /// Plugins cannot be attached to this kind.
    #[error("plugins cannot be attached to the kind `{0}`: supported kinds are {KINDS}")]
    Kind(String),
}

/// An error returned when a resource cannot be serialized as YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the resource as YAML")]
pub struct YamlError(#[source] serde_saphyr::SerializeError);

const KINDS: &str = "Gateway, GatewayClass, Service and ServiceEntry in Istio; Gateway, ListenerSet, HTTPRoute and GRPCRoute in Envoy Gateway";

/// A resource in serialized form, with its fields in the conventional order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource<'a, Spec> {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: &'a Metadata,
    pub spec: Spec,
}

/// Serializes a document as YAML, preceded by comment lines.
///
/// `kubectl` parses YAML 1.1, in which a plain `y`, `on`, `1e3` or `0777` is not a string. The serializer quotes every
/// string that YAML 1.1 or 1.2 could read as another type.
pub(crate) fn yaml(comment: &str, document: &impl Serialize) -> Result<String, YamlError> {
    // Folded lines gain nothing and make strings with line breaks hard to compare.
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
    /// Derives a valid name from `text`, if possible. File names and crate names may contain underscores and uppercase
    /// letters, which names may not.
    pub fn like(text: &str) -> Result<Self, NameError> {
        text.to_lowercase().replace('_', "-").parse()
    }

    /// Returns the name as a string slice.
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

// === impl Namespace ===

impl Namespace {
    /// Returns the name as a string slice.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match names::is_dns_label(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(NameError::Namespace(text.to_owned())),
        }
    }
}

impl fmt::Display for Namespace {
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
            // The last three kinds are parsed to allow a more specific error: no resource runs plugins on them.
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
    fn names_follow_kubernetes_rules() {
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
            Name::like("Rate_Limit").expect("valid name").as_str(),
            "rate-limit"
        );
        assert!(Name::like("rate limit").is_err());
    }

    #[test]
    fn namespaces_are_single_dns_labels() {
        let longest = "a".repeat(63);
        for good in ["a", "istio-system", "0-1", &longest] {
            assert_eq!(good.parse::<Namespace>().expect(good).as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "a.b", "-a", "a-", "A", "a_b", "ä", &too_long] {
            let error = bad.parse::<Namespace>().expect_err(bad);
            assert_eq!(error, NameError::Namespace(bad.to_owned()));
        }
    }

    #[test]
    fn labels_are_parsed_as_key_and_value() {
        let label: Label = "app.kubernetes.io/name=Web_1".parse().expect("valid label");
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
    fn target_refs_resolve_their_api_group() {
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
