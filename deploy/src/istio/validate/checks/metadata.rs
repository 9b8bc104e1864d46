//! Checks of the metadata of all objects, by Kubernetes and, for annotations, by istiod.
//!
//! Each function returns what is wrong with a node, or `None`. `table.rs` specifies the nodes that it applies to.

use super::super::schema::Fault;
use crate::resource::names;
use crate::yaml::{Node, excerpt};

/// The maximum total size of an object's annotations, in bytes.
const MOST_ANNOTATIONS: usize = 256 << 10;

/// Annotations that are reserved for istiod.
const ISTIODS: [&str; 4] = [
    "istio.io/dry-run",
    "internal.istio.io/webhook-always-reject",
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];

const NOT_QUALIFIED: &str = "is not a valid qualified name: use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at \
     both ends, optionally prefixed with a DNS name and `/`";

/// Reserved annotations are rejected.
pub fn not_istiods(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| ISTIODS.contains(&entry.key.name.as_str()))?;
    Fault::at(
        &entry.key.name,
        entry.key.position,
        "istiod rejects this annotation on plugins: remove it",
    )
}

/// An object must have a name or a prefix from which a name is generated.
pub fn named(node: &Node) -> Option<Fault> {
    let has = |name: &str| {
        node.get(name)
            .is_some_and(|node| node.text().is_some_and(|text| !text.is_empty()))
    };
    if has("name") || has("generateName") {
        return None;
    }
    Fault::here("has no name: add `name`, or `generateName` for `kubectl create`")
}

/// The name must be a DNS subdomain.
pub fn object_name(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    // A separate rule requires that it is present.
    if text.is_empty() || names::is_dns_subdomain(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid object name (a DNS subdomain): use lowercase letters, digits, `-` and `.`, at most 253 characters; each part between dots must start and end with a letter or digit",
        excerpt(text)
    ))
}

/// The namespace must be a DNS label.
pub fn namespace(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if text.is_empty() || names::is_dns_label(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid namespace name: use at most 63 lowercase letters, digits and `-`, starting and ending with a letter or digit",
        excerpt(text)
    ))
}

/// The keys of labels must be valid.
pub fn label_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// The values of labels must be valid.
pub fn label_value(node: &Node) -> Option<Fault> {
    let text = node.text()?;
    if names::is_label_value(text) {
        return None;
    }
    Fault::here(format!(
        "`{}` is not a valid label value: use at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit",
        excerpt(text)
    ))
}

/// The keys of annotations must be valid. They are not case-sensitive.
pub fn annotation_keys(node: &Node) -> Option<Fault> {
    let entries = &node.mapping()?.entries;
    let entry = entries
        .iter()
        .find(|entry| !names::is_qualified_name(&entry.key.name.to_lowercase()))?;
    Fault::at(&entry.key.name, entry.key.position, NOT_QUALIFIED)
}

/// The total size of the annotations is limited.
pub fn annotations_size(node: &Node) -> Option<Fault> {
    let bytes: usize = node
        .mapping()?
        .entries
        .iter()
        .map(|entry| entry.key.name.len() + entry.value.text().map_or(0, str::len))
        .sum();
    if bytes <= MOST_ANNOTATIONS {
        return None;
    }
    Fault::here(format!(
        "annotations have a total size of {bytes} bytes, which exceeds {MOST_ANNOTATIONS}: move data elsewhere"
    ))
}
